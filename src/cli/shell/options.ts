/**
 * The flags of the original command line (one-platform.md §4.10) and ours beside them: one table for parsing and for
 * --help.
 */
import type { OptionSpec } from './command.ts';

const RUN = 'Running';
const SHOW = 'Showing';
const IDENTITY = 'Who this gateway is';
const BEHAVIOUR = 'How it behaves';
const INSTALLING = 'Installing';
const BUILDING = 'Building apps';

/** Options that every command takes. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  { name: 'root', value: 'DIR', group: RUN, default: '/', help: 'directory that stands for /' },
  { name: 'help', short: 'h', group: SHOW, help: 'show this help' },
];

/** Of `-o` of what is a list. */
export const LIST_FORMATS = ['table', 'csv', 'json'] as const;

export const JSON_OPTION: OptionSpec = { name: 'json', help: 'print one JSON document instead of text' };

export const FLAG_OPTIONS: readonly OptionSpec[] = [
  { name: 'once', short: 'o', group: RUN, help: 'check in once, carry out what is there, and exit' },
  ...GLOBAL_OPTIONS,
  {
    name: 'install-apps',
    short: 'I',
    value: 'TARBALL',
    many: true,
    group: INSTALLING,
    help: 'install tarballs from this machine, in order; a failed one does not stop the others',
  },
  { ...JSON_OPTION, group: INSTALLING, help: 'with -I: print one JSON document instead of text' },
  {
    name: 'download-latest',
    value: 'AREA',
    group: INSTALLING,
    help: 'fetch the latest package of an area of release_url into this directory',
  },
  { name: 'path', short: 'p', group: SHOW, help: 'show the directory that apps are installed into' },
  {
    name: 'mac-address',
    value: 'IFACE',
    group: SHOW,
    help: 'show the MAC of a network interface, as it would be the serial number',
  },
  { name: 'version', short: 'v', group: SHOW, help: 'show the version' },
  { name: 'engine-conf', short: 'e', group: SHOW, help: 'show Engine.config' },
  { name: 'gateway-cfg', short: 'g', group: SHOW, help: 'show Gateway.cfg' },
  { name: 'gateway-cik', short: 'C', group: SHOW, help: "show the device key; '' before activation" },
  {
    name: 'set-product-id',
    short: 'P',
    value: 'PID',
    group: IDENTITY,
    aliases: ['product-id'],
    help: 'product: vendor and model at once',
  },
  { name: 'set-vendor', short: 'r', value: 'VENDOR', group: IDENTITY, help: 'vendor' },
  { name: 'set-model', short: 'm', value: 'MODEL', group: IDENTITY, help: 'model' },
  { name: 'set-uuid', short: 'u', value: 'UUID', group: IDENTITY, help: "serial number; '' to clear it" },
  {
    name: 'set-iface',
    short: 'i',
    value: 'IFACE',
    group: IDENTITY,
    help: 'interface whose MAC is the serial number',
  },
  {
    name: 'set-cik',
    short: 'c',
    value: 'CIK',
    group: IDENTITY,
    help: 'device key of 40 letters and digits; @FILE or - (standard input) keeps it out of the list of processes',
  },
  {
    name: 'set-update-interval',
    short: 't',
    value: 'SECONDS',
    group: BEHAVIOUR,
    default: '14400',
    help: 'pause between check-ins; a running gwe uses it from its next one on',
  },
  {
    name: 'set-act-retry-interval',
    short: 'l',
    value: 'SECONDS',
    group: BEHAVIOUR,
    default: '60',
    help: 'pause between attempts to activate',
  },
  {
    name: 'set-debug-level',
    short: 'd',
    value: 'LEVEL',
    group: BEHAVIOUR,
    default: 'INFO',
    help: 'DEBUG, INFO, WARNING, ERROR or CRITICAL; with an action: for that run alone',
  },
  {
    name: 'set-user-agent',
    short: 'a',
    value: 'TEXT',
    group: BEHAVIOUR,
    help: "User-Agent header; '' for the default",
  },
  {
    name: 'set-platform-url',
    value: 'URL',
    group: BEHAVIOUR,
    default: 'https://PID.m2.exosite.io',
    help: 'where the platform is',
  },
  {
    name: 'keep-key',
    group: BEHAVIOUR,
    help: 'with --set-platform-url: it is another address of the same platform, where the device key is valid too',
  },
  {
    name: 'set',
    value: 'KEY=VALUE',
    many: true,
    group: BEHAVIOUR,
    help: 'any key of Engine.config: --set settle_time=2 install_timeout=600',
  },
  {
    name: 'set-ca-file',
    value: 'FILE',
    group: BEHAVIOUR,
    help: "PEM file of CAs to trust besides the built-in ones; '' for none",
  },
  {
    name: 'set-client-cert',
    value: 'FILE',
    group: BEHAVIOUR,
    help: "PEM file of a client certificate, which may hold its private key as well; '' for none",
  },
  {
    name: 'set-client-key',
    value: 'FILE',
    group: BEHAVIOUR,
    help: 'PEM file of its private key, if it is another',
  },
  {
    name: 'create-buildfile',
    short: 'x',
    group: BUILDING,
    help: 'ask for name and version and write a buildfile; with -n or -s it asks nothing',
  },
  { name: 'check-buildfile', short: 'w', value: 'FILE', group: BUILDING, help: 'check a buildfile' },
  {
    name: 'build-app',
    value: 'BUILDFILE',
    group: BUILDING,
    help: 'build the tarball, check it, and print its absolute path and nothing else',
  },
  {
    name: 'check-tarball',
    short: 'z',
    value: 'FILE',
    group: BUILDING,
    aliases: ['check-tarfile'],
    help: 'run the checks that a gateway runs',
  },
  {
    name: 'build-app-tarball',
    short: 'y',
    group: BUILDING,
    help: 'build a tarball of this directory, named by -n and -s',
  },
  {
    name: 'sign-key',
    value: 'FILE',
    group: BUILDING,
    help: 'with --build-app or -y: sign the tarball with this private key (see gwe sign --help)',
  },
  { name: 'passphrase-file', value: 'FILE', group: BUILDING, help: 'file whose first line decrypts the key' },
  {
    name: 'sign-cmd',
    value: 'COMMAND',
    group: BUILDING,
    help: 'with --sign-key of a public key: sign with this command (see gwe sign --help)',
  },
  {
    name: 'patch-from',
    value: 'TARBALL',
    many: true,
    group: BUILDING,
    help: 'with --build-app or -y: make a patch from this older version too (see gwe patch --help)',
  },
  { name: 'app-name', short: 'n', value: 'NAME', group: BUILDING, help: 'name for -x and -y' },
  { name: 'app-version', short: 's', value: 'VERSION', group: BUILDING, help: 'version for -x and -y' },
  { name: 'file', value: 'FILE', group: BUILDING, default: 'my_app.json', help: 'buildfile that -x writes' },
];
