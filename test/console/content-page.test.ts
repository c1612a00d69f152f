/** Content in the web console: uploaded, looked at, rolled out, deleted unless something needs it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConsoleRig, runningHello } from '../helpers/console-rig.ts';
import { eventually } from '../helpers/eventually.ts';
import { makeIndexed, newKey } from '../helpers/indexed.ts';
import { listReleases } from '../helpers/signed-rig.ts';

test('content is uploaded in pieces that are checked, shows who signed it, and is deleted unless it runs', async (t) => {
  const { page, platform, gateway, call, open, faults } = await openConsoleRig(t);
  await gateway('gw-1', runningHello('1'));
  const key = newKey();
  const indexed = (version: string): Promise<Buffer> =>
    makeIndexed({ name: 'hello', version }, { 'install.sh': '#!/bin/sh\n' }, [key]);
  await platform.putContent('p', 'hello.v1.tar.gz', await indexed('1'));
  await open('#/p/content');
  const rows = page.getByRole('region', { name: 'Content', exact: true }).getByRole('rowheader');

  await t.test('a file of a name that no command can install is refused before a byte is sent', async () => {
    await rows.first().waitFor();
    const files = page.getByLabel('Choose files');
    await files.setInputFiles({ name: 'hello.zip', mimeType: 'application/zip', buffer: Buffer.from('PK') });
    await page.getByRole('alert').getByText("Cannot upload 'hello.zip'").waitFor();
  });

  await t.test('a good one appears in the list, with its signature', async () => {
    const bytes = await indexed('2');
    const files = page.getByLabel('Choose files');
    await files.setInputFiles({ name: 'hello.v2.tar.gz', mimeType: 'application/gzip', buffer: bytes });
    await page.getByRole('link', { name: 'hello.v2.tar.gz' }).click();
    await page.waitForURL(/#\/p\/content\/hello\.v2\.tar\.gz$/);
    await page.getByText(key.keyId).waitFor();
    const { meta } = await call('GET', '/products/p/content/hello.v2.tar.gz');
    assert.match(meta, /^SHA256:[0-9a-f]{64} MANIFEST-SHA256:[0-9a-f]{64}$/);
  });

  await t.test('the release list is shown with its end and with what it does not name', async () => {
    const list = await listReleases({
      release: 7,
      versions: { 'hello.v1': 'a'.repeat(64) },
      by: [key],
      product: 'p',
    });
    await platform.putContent('p', 'gwe-releases', list);
    await page.goBack();
    const note = page.getByRole('region', { name: 'Release list' });
    await note.getByText('There, and not named').waitFor();
    const shown = (await note.ariaSnapshot()).replace(/^( *- time: ).*$/m, '$1TIME');
    assert.equal(
      shown,
      [
        '- region "Release list":',
        '  - heading "Release list" [level=2]',
        '  - paragraph:',
        '    - text: "Release 7 names 1 version. Its end:"',
        '    - time: TIME',
        '    - text: .',
        '  - paragraph: "There, and not named: hello 2"',
      ].join('\n'),
    );
    await platform.deleteContent('p', 'gwe-releases');
    await note.waitFor({ state: 'detached' });
    await page.goForward();
  });

  await t.test('it leads to its rollout', async () => {
    await page.getByRole('link', { name: 'Roll out' }).click();
    await eventually(() => page.getByLabel('What to install').inputValue(), /^hello\.v2\.tar\.gz$/);
    await page.goBack();
  });

  await t.test('it is deleted, and what a gateway runs is not, with the reason', async () => {
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL(/#\/p\/content$/);
    await page.getByRole('link', { name: 'hello.v2.tar.gz' }).waitFor({ state: 'detached' });
    await page.getByText('1 gateway', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'hello.v1.tar.gz' }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByText('1 gateways run it or may go back to it (gw-1)').waitFor();
    await page.keyboard.press('Escape');
    assert.equal((await call('GET', '/products/p/content')).content.length, 1);
  });

  assert.deepEqual(faults, []);
});
