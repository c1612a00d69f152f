/** What each error code means to an operator, and what helps: for `gwe help errors` and src/cli/README.md. */
import type { ErrorCode } from '../base/errors.ts';

type Meaning = readonly [meaning: string, remedy: string];

export const ERROR_MEANINGS: Readonly<Record<ErrorCode, Meaning>> = {
  USAGE_BAD_OPTION: [
    'an option is unknown, or contradicts another',
    "see 'gwe help COMMAND'; nothing was changed",
  ],
  USAGE_BAD_VALUE: [
    'a value on the command line cannot be used',
    'the message says what was expected; nothing was changed',
  ],
  USAGE_MISSING: ['a required option or argument is missing', "see 'gwe help COMMAND'; nothing was changed"],
  CONFIG_INVALID: [
    'a configuration file, certificate or key cannot be used',
    "correct what the message names; 'gwe doctor' checks the files",
  ],
  CONFIG_NO_IDENTITY: [
    'the gateway has no serial number, or no product',
    'gwe --set-iface eth0 (or --set-uuid SERIAL), and gwe --set-product-id PRODUCT',
  ],
  CONFIG_UNWRITABLE: [
    'the device key cannot be stored, so none is requested: the platform gives it out once',
    'make /etc/gwe writable, or free space on its disk',
  ],
  PROTOCOL_OFFLINE: [
    'the platform cannot be reached: no network, name, connection or valid certificate',
    "'gwe doctor' says which; check the line, platform_url, proxy and clock",
  ],
  PROTOCOL_UNAUTHORIZED: [
    'the platform refuses the device key (401)',
    'nothing if gwe then activates; otherwise enable the device on the platform again',
  ],
  PROTOCOL_REFUSED: [
    'the platform refuses a request, or redirects it',
    'check product, platform_url and what the status in the message says',
  ],
  PROTOCOL_BUSY: ['the platform is overloaded, or failed (408, 429, 5xx)', 'nothing, unless it lasts'],
  PROTOCOL_GARBAGE: [
    'the answer is not what the protocol defines',
    'look for a captive portal or proxy that answers in place of the platform',
  ],
  PROTOCOL_TOO_LARGE: [
    'an answer or an upload is larger than allowed',
    'raise max_reply_bytes, or find out who sends that much',
  ],
  COMMAND_INVALID: [
    'the text in engine_fetch is not a command',
    'write {"install": [{"name": "APP.vVERSION.tar.gz"}]}',
  ],
  COMMAND_TOGETHER: [
    'another app of a command with "together": true failed, so nothing of it is installed',
    'see the report of that app; correct it and send the command again',
  ],
  COMMAND_UNTRUSTED: [
    'require_signed_commands is set, and no key that may command this gateway has signed the command',
    "sign it: 'gwe platform write --sign-key FILE', 'gwe sign-command'; 'gwe keys list' shows who may",
  ],
  COMMAND_STALE: [
    'a signed command is past its time, or was carried out before',
    'sign it again; where the message speaks of no counters, so that it ends within a day',
  ],
  DOWNLOAD_NOT_FOUND: [
    'the content area has no such item',
    'upload it under the name in the command, to the product of this gateway',
  ],
  DOWNLOAD_REFUSED: [
    'the platform does not hand the item out, or delta_fallback forbids fetching it whole',
    'open the content to the device, or gwe --set delta_fallback=full',
  ],
  DOWNLOAD_INCOMPLETE: [
    'the download stopped making progress; what has arrived is kept',
    'send the command again when the line is better',
  ],
  DOWNLOAD_CHANGED: [
    'the item was replaced during the download',
    'nothing: gwe starts over with the new one',
  ],
  DOWNLOAD_TOO_LARGE: [
    'the tarball is larger than max_artifact_bytes, or than the platform announced',
    'pack less, or raise the setting',
  ],
  DOWNLOAD_DIGEST: [
    'the bytes do not have the digest in the command, the meta or the manifest',
    'upload the tarball again, or correct the digest',
  ],
  ARTIFACT_NAME: [
    'the name is not NAME.vVERSION.tar.gz',
    'rename the tarball, upload it and command it again',
  ],
  ARTIFACT_FORMAT: ['the file is not a readable .tar.gz', 'pack it again with gwe build or tar czf'],
  ARTIFACT_ENTRY: [
    'an entry of the tarball would be ambiguous or unsafe to unpack',
    "the message names it; 'gwe --check-tarball' shows the same on any machine",
  ],
  ARTIFACT_LIMIT: ['the tarball exceeds one of the max_* settings', 'pack less, or raise the setting named'],
  ARTIFACT_LAYOUT: [
    'install.sh is missing or cannot be run, or supervisor.conf cannot start anything',
    'correct the file named and build again',
  ],
  ARTIFACT_MANIFEST: [
    'the content is not what the manifest describes',
    'build the tarball again; if an installed version is meant, install it again',
  ],
  ARTIFACT_UNTRUSTED: [
    'too few keys that this gateway trusts have signed',
    'gwe sign TARBALL --key KEY, upload it again and send the command again',
  ],
  ARTIFACT_STALE: [
    'the release is lower than one already seen, or the signature has expired',
    'build with a higher release, a later expires, or a signed downgrade_from',
  ],
  ARTIFACT_UNLISTED: [
    'a trusted key has powers: releases, and the newest release list does not name this version',
    "name it in the next list: 'gwe releases sign', and upload that as gwe-releases",
  ],
  ARTIFACT_UNSUITABLE: [
    'the artifact is for another app, CPU or version of gwe',
    'send the one for this gateway; for minimum_gwe update gwe first',
  ],
  ARTIFACT_BUILD: ['the tarball could not be built, signed or checked', 'correct what the message names'],
  ARTIFACT_PATCH: ['a patch cannot be used', 'nothing: gwe fetches the chunks instead'],
  ARTIFACT_REFUSED: [
    'these bytes failed on this gateway before, or a policy of the gateway forbids them',
    'upload a corrected tarball, or change the command',
  ],
  BUDGET_SPENT: [
    'the data budget of the month does not allow it now',
    'wait, raise budget_month, or send the command with "urgent": true',
  ],
  STORE_NO_SPACE: [
    'there is not enough disk space or there are not enough inodes',
    'free what the message says, or lower disk_reserve_bytes',
  ],
  STORE_READ_ONLY: ['the file system is read-only', "mount it writable; 'dmesg' may say why it is not"],
  STORE_IO: ['a file could not be read or written', 'check the path named, its owner and the disk'],
  STORE_MOUNTED: [
    'something is mounted in a directory that gwe should remove',
    'unmount it; gwe tries again at its next start or update',
  ],
  STORE_LOCKED: ['another gwe is working on this root', 'wait until it is done, or stop it'],
  INSTALL_FAILED: ['install.sh or health.sh failed', "'gwe logs APP --install' shows its output"],
  INSTALL_TIMEOUT: [
    'install.sh or health.sh exceeded its deadline',
    'make it faster, or raise install_timeout or health_timeout',
  ],
  SUPERVISOR_UNREACHABLE: [
    'supervisord does not answer',
    'start it (service supervisor start), or set supervisor_socket',
  ],
  SUPERVISOR_REFUSED: [
    'supervisord refuses a call, usually because a file in conf.d is broken',
    'correct or remove the file named; nothing was changed',
  ],
  SUPERVISOR_PROGRAM_INVALID: [
    'supervisor.conf of the app would keep supervisord from starting',
    'correct the line named and build again',
  ],
  SUPERVISOR_FOREIGN_PROGRAM: [
    'an operator has a program or group of that name',
    "rename the app, or remove the operator's entry and run supervisorctl update",
  ],
  SUPERVISOR_UNHEALTHY: [
    'the program did not stay RUNNING',
    "'gwe logs APP' shows its output; correct the app",
  ],
  JOURNAL_UNREADABLE: [
    'a state file is damaged, and so is its copy',
    'the message says what is forgotten; see "What becomes of a damaged file" in test/README.md',
  ],
  JOURNAL_LOOP: [
    'gwe was started too often within one step of an update, which it gave up',
    'find out what restarts gwe or the gateway, then send the command again',
  ],
  PLATFORM_STATE: [
    "'gwe platform serve' cannot use its directory, database, port or certificate",
    'correct what the message names',
  ],
  PLATFORM_UNAVAILABLE: [
    "the database or object store of 'gwe platform serve' does not answer",
    'the platform waits and goes on by itself: start what does not answer',
  ],
  PLATFORM_READ_ONLY: [
    'a platform takes no writes while it is copied, or since it has moved',
    'nothing where it is copied: what was refused is sent again; stop one that has moved',
  ],
  PLATFORM_SCHEMA: [
    'the tables of a platform are of another version of gwe; the message has both',
    "older ones: run 'gwe platform migrate'; newer ones: use a newer gwe",
  ],
  CANCELLED: [
    'somebody cancelled it, or gwe was stopped',
    'nothing; send the command again if it is still wanted',
  ],
};
