/** supervisord's socket, and whether it can be somebody else's: in /tmp everybody may listen under its name. */
import * as fs from 'node:fs';
import { dirname } from 'node:path';

/** Linux's own (asm-generic/fcntl.h); Node has no name for it. Opens what is there without using it. */
const O_PATH = 0o10000000;
const OTHERS_MAY_WRITE = 0o022;

export interface HeldSocket {
  /** To connect to: the socket that was examined, whatever its name leads to by then. */
  path: string;
  release(): void;
}

/** Throws what the system says where nothing is there, or an Error that says whose it is. */
export function holdSocket(path: string): HeldSocket {
  const fd = fs.openSync(path, O_PATH | (isTrustedLink(path) ? 0 : fs.constants.O_NOFOLLOW));
  let isHeld = true;
  const release = (): void => {
    if (isHeld) fs.closeSync(fd);
    isHeld = false;
  };
  try {
    const found = fs.fstatSync(fd);
    if (!found.isSocket()) throw Object.assign(new Error('it is not a socket'), { code: 'ECONNREFUSED' });
    if (!isTrusted(found.uid) && !isClosedDirectory(dirname(fs.realpathSync(path))))
      throw new Error(
        `the socket belongs to uid ${found.uid}, in a directory where anybody could have created it; expected root or gwe's own user`,
      );
    return { path: `/proc/self/fd/${fd}`, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Whether a socket is there that gwe would talk to. */
export function isSupervisorSocket(path: string): boolean {
  try {
    holdSocket(path).release();
    return true;
  } catch {
    return false;
  }
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}

function isTrustedLink(path: string): boolean {
  const found = fs.lstatSync(path);
  return found.isSymbolicLink() && isTrusted(found.uid);
}

/** supervisord can give its socket to another user (`chown`): in such a directory nobody else can have put it there. */
function isClosedDirectory(path: string): boolean {
  const found = fs.statSync(path);
  return isTrusted(found.uid) && (found.mode & OTHERS_MAY_WRITE) === 0;
}
