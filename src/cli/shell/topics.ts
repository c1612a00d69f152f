/** What `gwe help TOPIC` and the manual pages contain besides the commands: tables, each in one place. */
import { ENGINE_SETTINGS } from '../../config/schema.ts';
import { allowedValues } from '../../config/setting.ts';
import { ERROR_MEANINGS } from '../error-meanings.ts';
import { EXIT_STATUSES } from './exit.ts';

interface TopicRow {
  term: string;
  text: string;
}

export interface Topic {
  name: string;
  /** The title of its section in the manual page. */
  title: string;
  intro: string;
  rows(): readonly TopicRow[];
}

const row = (term: string, text: string): TopicRow => ({ term, text });

const FILES = [
  row('/etc/gwe/Gateway.cfg', 'who this gateway is, and its key'),
  row('/etc/gwe/Engine.config', "how it behaves; see 'gwe help settings'"),
  row('/etc/gwe/keys.d/*.pub', 'whose signatures are trusted; with one there, unsigned tarballs are refused'),
  row('/opt/gwe/apps/NAME/current', 'the active version of an app'),
  row('/var/opt/gwe/NAME', 'what an app keeps, and its working directory'),
  row('/etc/supervisor/conf.d/NAME.conf', 'its program entry'),
  row('/var/log/NAME.log', 'its log'),
  row('/var/lib/gwe', 'state that must survive a power cut'),
  row('/run/gwe', 'state that changes at every check-in, in memory'),
];

const ENVIRONMENT = [
  row('GWE_ROOT', 'directory that stands for /, unless --root says otherwise'),
  row('GWE_PLATFORM_URL', "platform that the commands of 'gwe platform' talk to"),
  row('GWE_PLATFORM_TOKEN_FILE', 'file with its admin token'),
  row('GWE_PLATFORM_CA_FILE', 'PEM file of a private certificate authority of it'),
  row('PGPASSWORD', "password of the database of 'gwe platform serve --database'"),
  row('CREDENTIALS_DIRECTORY', "from systemd: secret files of 'gwe platform serve' in it need no mode 600"),
  row('HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY', 'proxies to the platform, also in lower case'),
  row('NO_COLOR', 'when set, no colours even on a terminal'),
  row('PAGER', "what shows long help on a terminal (less, if it is not set; 'cat' for none)"),
  row('TERM', "'dumb' has neither bars nor colours nor a pager"),
  row(
    'GWE_APP_NAME, GWE_APP_VERSION, GWE_APP_DIR',
    'given to install.sh and health.sh: app, version, its directory',
  ),
  row('GWE_DATA_DIR', 'given to these and to the program: what the app keeps'),
  row('GWE_PREVIOUS_DIR, GWE_PREVIOUS_VERSION', 'given to these scripts: the version before'),
  row('GWE_TRANSACTION', 'given to these scripts: the id of the update'),
];

const ALIASES = [
  row('engine_fetch', 'to gwe, which clears it: {"install": [{"name": "APP.vVERSION.tar.gz"}]}'),
  row('update_interval', 'to gwe, which clears it: seconds between check-ins'),
  row('fetch_status', 'from gwe: how an installation went'),
  row('engine_report', 'from gwe: the installed apps and the state of their programs'),
  row('device_info', 'from gwe: disks, memory, addresses and system'),
  row('usage_report', 'from gwe: bytes by purpose, and the data budget'),
];

export const TOPICS: readonly Topic[] = [
  {
    name: 'settings',
    title: 'SETTINGS',
    intro: "Keys of Engine.config, for 'gwe config set KEY=VALUE':",
    rows: () =>
      Object.values(ENGINE_SETTINGS).map((spec) =>
        row(
          spec.key,
          `${spec.help} [${allowedValues(spec)}; default: ${spec.default === '' ? 'empty' : String(spec.default)}]`,
        ),
      ),
  },
  { name: 'files', title: 'FILES', intro: 'Below /, or the directory of --root:', rows: () => FILES },
  {
    name: 'environment',
    title: 'ENVIRONMENT',
    intro: 'Variables that gwe reads or gives:',
    rows: () => ENVIRONMENT,
  },
  {
    name: 'aliases',
    title: 'ALIASES',
    intro: 'What passes between gwe and its platform:',
    rows: () => ALIASES,
  },
  {
    name: 'exit',
    title: 'EXIT STATUS',
    intro: 'What gwe ends with:',
    rows: () => EXIT_STATUSES.map(({ status, meaning }) => row(String(status), meaning)),
  },
  {
    name: 'errors',
    title: 'ERROR CODES',
    intro: 'The codes in fetch_status, the log and JSON documents, and what helps:',
    rows: () =>
      Object.entries(ERROR_MEANINGS).map(([code, [meaning, remedy]]) =>
        row(code, `${meaning}. To do: ${remedy}`),
      ),
  },
];
