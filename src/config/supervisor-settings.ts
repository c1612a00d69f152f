/** The settings for a supervisord that gwe cannot find, or that needs a password. */
import type { SettingSpec } from './setting.ts';

export const SUPERVISOR_SETTINGS = {
  supervisorSocket: {
    key: 'supervisor_socket',
    type: 'text',
    expected: 'path or URL',
    default: '',
    help: "path of supervisord's socket, or http://HOST:PORT; empty: gwe finds it",
  },
  supervisorConfig: {
    key: 'supervisor_config',
    type: 'text',
    expected: 'path',
    default: '',
    help: 'path of supervisord.conf; empty: gwe finds it',
  },
  supervisorPrograms: {
    key: 'supervisor_programs',
    type: 'text',
    pattern: /^\/[^*?[\]]*\*[^*?[\]/]*$/,
    expected: 'an absolute pattern with one * in its last part, as in [include] of supervisord.conf',
    default: '',
    help: 'where program entries go, as /etc/supervisord.d/*.ini; empty: taken from [include] of supervisord.conf',
  },
  supervisorUsername: {
    key: 'supervisor_username',
    type: 'text',
    default: '',
    help: "user name for supervisord's RPC interface; empty: taken from supervisord.conf",
  },
  supervisorPassword: {
    key: 'supervisor_password',
    type: 'text',
    secret: true,
    default: '',
    help: 'password for supervisor_username; Engine.config is 0600 if it is set',
  },
} as const satisfies Record<string, SettingSpec>;
