/** A real provider of identities (oidc-provider), in a process of its own. Arguments: the client's redirect URI. Prints its URL. */
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [redirect = ''] = process.argv.slice(2);
const server = createServer().listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'gwe', client_secret: 'a-secret-of-the-client', redirect_uris: [redirect] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    pkce: { required: () => true },
    cookies: { keys: ['a-key-of-the-test'] },
    // Whoever logs in is who he says; `unverified` has an address that nobody has looked at.
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@example.com`,
        email_verified: id !== 'unverified',
        name: id,
      }),
    }),
  });
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
});
