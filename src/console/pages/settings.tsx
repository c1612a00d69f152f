/** The person's own account, and for an admin: people, tokens, notices, the audit, and products. */
import { settingWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { plain } from '../base/format.ts';
import { SESSION } from '../base/replies.ts';
import { hrefOf, type Route } from '../base/route.ts';
import { NewProduct } from '../parts/new-product.tsx';
import { Account } from '../settings/account.tsx';
import { AuditList } from '../settings/audit-list.tsx';
import { People } from '../settings/people.tsx';
import { Server } from '../settings/server.tsx';
import { Targets } from '../settings/targets.tsx';
import { Tokens } from '../settings/tokens.tsx';

const PERMISSIONS = {
  people: 'operator.write',
  tokens: 'token.write',
  targets: 'notice.write',
  audit: 'audit.read',
  products: 'gateway.import',
  server: 'audit.read',
} as const;
const TABS = ['account', 'people', 'tokens', 'targets', 'audit', 'products', 'server'] as const;
type Tab = (typeof TABS)[number];

export function SettingsPage({ route, say }: { route: Route; say: (text: string) => void }) {
  const { product } = useConsole();
  const may = useMay('*');
  const tabs = TABS.filter((tab) => tab === 'account' || may(PERMISSIONS[tab]));
  const shown = tabs.find((tab) => tab === route.item) ?? 'account';
  return (
    <>
      <nav aria-label={says.parts} class="tabs">
        {tabs.map((tab) => (
          <a
            key={tab}
            href={hrefOf({ product, page: 'settings', item: tab })}
            aria-current={tab === shown ? 'page' : undefined}
          >
            {says.tabs[tab]}
          </a>
        ))}
      </nav>
      <TabPage tab={shown} route={route} say={say} />
    </>
  );
}

function TabPage({ tab, route, say }: { tab: Tab; route: Route; say: (text: string) => void }) {
  switch (tab) {
    case 'account':
      return <Account say={say} />;
    case 'people':
      return <People say={say} />;
    case 'tokens':
      return <Tokens say={say} />;
    case 'targets':
      return <Targets say={say} />;
    case 'audit':
      return <AuditList before={route.query.get('before') ?? ''} />;
    case 'products':
      return <Products say={say} />;
    case 'server':
      return <Server />;
  }
}

function Products({ say }: { say: (text: string) => void }) {
  const { api, session } = useConsole();
  // Somebody else may make one too, and a session that has ended is noticed before something is typed in vain.
  const products =
    useLoaded('/session', () => api.read('/session', SESSION)).value?.products ?? session.products;
  return (
    <>
      <p class="hint">{says.products.hint}</p>
      <ul>
        {products.map((one) => (
          <li key={one}>
            <a href={hrefOf({ product: one })}>{plain(one)}</a>
          </li>
        ))}
      </ul>
      <NewProduct made={(name) => say(says.products.made(plain(name)))} />
    </>
  );
}
