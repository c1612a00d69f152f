/** Every sentence of the pages Content, Reports and Settings, and of the acts on many gateways, in English. */

const noun = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
const gateways = (count: number): string => noun(count, 'gateway');

export const contentWords = {
  none: 'Nothing can be installed yet. Pack an app with gwe --build-app, and upload it here.',
  upload: 'Upload',
  choose: 'Choose files',
  drop: 'or drop them here: NAME.vVERSION.tar.gz, and patches to it.',
  id: 'Item',
  size: 'Size',
  at: 'Uploaded',
  runs: 'Runs on',
  runsOn: gateways,
  patches: (count: number) => noun(count, 'patch', 'patches'),
  notWhole: 'not uploaded yet',
  rollOut: 'Roll out',
  remove: 'Delete',
  removeAsk: (id: string) => `Delete ${id}? It cannot be taken back.`,
  removed: (id: string) => `Deleted: ${id}`,
  progress: (name: string) => `Upload of ${name}`,
  digest: 'computing its digest',
  sending: 'sending',
  kept: (id: string) => `Uploaded: ${id}`,
  badName: (name: string) =>
    `Cannot upload '${name}': found a name that no command can install, expected NAME.vVERSION.tar.gz (or .patch)`,
  badStart: (name: string) =>
    `Cannot upload '${name}': its first bytes are not those of a .tar.gz; every gateway would refuse it`,
  empty: (name: string) => `Cannot upload '${name}': it is empty`,
  signed: 'Signed by keys',
  notSigned: 'nobody: a gateway with keys refuses it',
  noIndex: 'It has no manifest: it is fetched whole, and cannot be signed. gwe sign makes one.',
  manifest: 'Digest of its manifest',
  machines: 'For machines',
  allMachines: 'all',
  release: 'Release',
  meta: 'Meta',
  back: 'All content',
  list: 'Release list',
  listed: (release: number, versions: number) =>
    `Release ${release} names ${noun(versions, 'version')}. Its end:`,
  listBad: (problem: string) => `No gateway takes it over: ${problem}.`,
  listOver: 'Nothing new is installed where it is gone by: sign and upload a newer one.',
  notNamed: 'There, and not named:',
  there: (app: string, version: string, count: number) =>
    `${app} ${version}${count === 0 ? '' : ` (${gateways(count)})`}`,
};

export const reportWords = {
  month: (month: string) => `Bytes in ${month}`,
  sum: (size: string, reporting: number, of: number) =>
    `${size} in both directions, by the ledgers of ${reporting.toLocaleString('en')} of ${gateways(of)}.`,
  noLedger: 'No gateway has reported its ledger this month.',
  purposes: 'What they were for, since the ledgers began',
  purpose: 'For',
  bytes: 'Bytes',
  most: 'Who has used the most this month',
  updates: 'Updates of the last 30 days',
  updatesSaid: (good: number, bad: number) =>
    `${good.toLocaleString('en')} installed, ${bad.toLocaleString('en')} failed`,
  day: 'Day',
  good: 'installed',
  bad: 'failed',
  codes: 'Why they failed',
  code: 'Code',
  count: 'Updates',
  noUpdates: 'None.',
  notAll: 'There were more than are counted here.',
  silent: 'Silent',
  silentSaid: (count: number) => `${gateways(count)} not heard of for two intervals.`,
  showSilent: 'Show them',
};

export const actWords = {
  open: (selected: number) =>
    selected === 0 ? 'Act on all of these' : `Act on ${selected.toLocaleString('en')} selected`,
  select: (serial: string) => `Select ${serial}`,
  clear: 'Select none',
  what: 'What',
  next: 'Go on',
  acts: {
    tag: 'Set a tag',
    install: 'Install',
    interval: 'Change the interval of check-ins',
    hold: 'Hold: no rollout and no command touches them',
    release: 'Let go what is on hold',
  },
  value: 'Value, empty to remove it',
  tag: 'Tag',
  artifact: 'What to install',
  noArtifact: 'Nothing is uploaded yet: see Content.',
  seconds: 'Seconds between two check-ins',
  reason: 'Why',
  asks: {
    tag: (count: number, name: string, value: string) =>
      value === ''
        ? `Remove tag ${name} from ${gateways(count)}?`
        : `Give ${gateways(count)} the tag ${name}=${value}?`,
    install: (count: number, id: string) =>
      `Command ${gateways(count)} to install ${id}, all of them at their next check-in? A command that waits there is replaced. A rollout goes wave by wave.`,
    interval: (count: number, text: string) =>
      `Have ${gateways(count)} check in every ${text}, from their next check-in on?`,
    hold: (count: number, reason: string) => `Hold ${gateways(count)} (${reason})?`,
    release: (count: number) => `Let ${gateways(count)} go?`,
  },
  progress: (done: number, of: number) => `${done.toLocaleString('en')} of ${gateways(of)}`,
  done: (count: number) => `Done on ${gateways(count)}`,
  leftOut: (count: number) => `Left out: ${gateways(count)}`,
  more: (count: number) => `and ${count.toLocaleString('en')} more`,
  close: 'Close',
  nobody: 'No gateway is chosen.',
  needsRollout: (count: number) =>
    `${gateways(count)} are too many for one command of yours: start a rollout.`,
  notWhole: (done: number, of: number, why: string) =>
    `It broke off after ${done.toLocaleString('en')} of ${gateways(of)}: ${why}. The rest is as it was.`,
};

export const logWords = {
  title: 'Logs of updates',
  app: 'App',
  ask: 'Ask for the log of its last update',
  asked: 'Asked: it comes with the next check-in.',
  none: 'None was asked for yet.',
  of: (app: string, version: string) => `${app} ${version}`,
  missing: (count: number, of: number) => `${noun(count, 'piece')} of ${of} not here yet`,
};

export const stepWords = {
  title: 'The first app',
  done: 'done',
  close: 'Close',
  product: 'Name of the product',
  productHint: 'All gateways that get the same apps. Letters and digits, such as MY_PRODUCT.',
  makeProduct: 'Make the product',
  serials: 'Add the serial numbers of gateways, one to a line',
  serialsHint:
    'A gateway takes the MAC of its interface, in upper case with colons, unless it is told another.',
  add: 'Add and enable',
  added: (count: number) => `${gateways(count)} added`,
  known: (count: number) => `${gateways(count)} known`,
  setUp: 'Set up a gateway: as root on it, with gwe in /usr/local/bin',
  setUpHint: 'The address has to be the one at which gateways reach this platform.',
  heard: 'Wait until it is heard',
  heardSaid: (count: number, of: number) => `${count.toLocaleString('en')} of ${gateways(of)} heard`,
  upload: 'Upload an app',
  build: 'gwe init hello && cd hello && gwe --build-app hello.json',
  buildHint: 'Without one at hand, this makes one:',
  install: 'Install it',
  installOn: (id: string, count: number) => `Install ${id} on ${gateways(count)}`,
  installAsk: (id: string, count: number) => `Command ${gateways(count)} to install ${id}?`,
  commanded: 'Commanded: a gateway reads it at its next check-in. gwe check-in on it asks at once.',
  nothingHeard: 'As soon as a gateway is heard and an app is there.',
  runs: (app: string, version: string, status: string, serial: string) =>
    `${app} ${version} is ${status} on ${serial}`,
  happened: 'What happens',
};

export const settingWords = {
  tabs: {
    account: 'Account',
    people: 'People',
    tokens: 'Tokens',
    targets: 'Who is told',
    audit: 'Audit',
    products: 'Products',
    server: 'Server',
  },
  parts: 'Parts of the settings',
  once: 'Shown this once: copy it now.',
  removeIt: (name: string) => `Remove ${name}`,
  removed: (name: string) => `Removed: ${name}`,
  remove: 'Remove',
  name: 'Name',
  role: 'Role',
  inProduct: 'In product',
  allProducts: 'all products',
  account: {
    who: (name: string, kind: string) => `${name}, signed in by ${kind}`,
    kinds: { server: "the platform's own token", token: 'a token', person: 'an account' } as Readonly<
      Record<string, string>
    >,
    noPerson: 'Only an account has a password and a second factor.',
    password: 'Change the password',
    present: 'Present password',
    fresh: 'New password, at least 12 characters',
    changed: 'Password changed; other sessions have ended',
    factor: 'Second factor',
    hasFactor: 'It is on.',
    begin: 'Begin a second factor',
    secret: 'Put this into an authenticator app, then type the code that it shows',
    code: 'Code',
    confirm: 'Turn it on',
    factorOn: 'The second factor is on',
    change: 'Change',
  },
  people: {
    none: 'Nobody yet but the token of the server.',
    add: 'Add a person',
    may: 'May',
    signsIn: 'Signs in by',
    byPassword: 'a password',
    bySignOn: 'single sign-on alone',
    factor: 'Second factor',
    yes: 'on',
    no: 'off',
    firstPassword: (name: string) => `First password of ${name}`,
    removeAsk: (name: string) => `Remove ${name}? All sessions of ${name} end at once.`,
    change: 'Change the role',
    changeOf: (name: string) => `Change the role of ${name}`,
    changeHint: (now: string) => `Now: ${now}. What you choose takes the place of all of it, at once.`,
    changed: (name: string) => `Role changed: ${name}`,
    says: (role: string, product: string) => `${role} in ${product === '*' ? 'all products' : product}`,
  },
  tokens: {
    none: 'None.',
    add: 'Make a token',
    days: 'For so many days',
    ends: 'Ends',
    used: 'Last used',
    text: (name: string) => `Token ${name}`,
    removeAsk: (name: string) => `Revoke token ${name}? What uses it is refused from then on.`,
  },
  targets: {
    none: 'Nobody is told of anything yet.',
    add: 'Tell somebody',
    url: 'https://... of a webhook, or mailto:NAME@HOST',
    kinds: 'What of',
    kind: {
      decision: 'a rollout needs a decision',
      silent: 'a gateway is silent',
      'crash-loop': 'an app crashes again and again',
      certificate: 'the certificate ends',
      'backup-failed': 'a backup has failed',
    } as Readonly<Record<string, string>>,
    hours: 'Silent after so many hours',
    sent: 'Sent',
    counts: (sent: number, waiting: number, givenUp: number) =>
      `${sent} sent, ${waiting} waiting, ${givenUp} given up`,
    tryIt: 'Try it',
    tried: 'A notice is on its way',
    secret: 'What signs its bodies',
    removeAsk: (url: string) => `Tell ${url} no more?`,
  },
  audit: {
    number: 'No.',
    when: 'When',
    who: 'Who',
    what: 'What',
    target: 'On what',
    after: 'What it became',
    older: 'Older entries',
    newest: 'The newest entries',
    none: 'No entry.',
  },
  products: {
    hint: 'A product has gateways, content and rollouts of its own.',
    made: (name: string) => `Made: ${name}`,
  },
};
