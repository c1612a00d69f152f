/** The command that a wrong word was meant to be: by its letters, or by what the word says in other programs. */
import { nearestWord } from './parse.ts';

/** Words of git, kubectl, apt, systemctl and others, and the commands that do the same here, the best one first. */
const MEANINGS: Readonly<Record<string, readonly string[]>> = {
  abort: ['cancel'],
  add: ['add', 'install', 'put'],
  apps: ['list'],
  bandwidth: ['traffic'],
  check: ['doctor', 'check-in', 'verify'],
  configure: ['config'],
  create: ['init', 'add', 'keygen'],
  data: ['traffic'],
  delete: ['remove', 'delete', 'disable'],
  diagnose: ['doctor'],
  disable: ['disable', 'stop'],
  downgrade: ['rollback'],
  enable: ['start', 'add'],
  events: ['history'],
  get: ['read', 'config', 'list'],
  info: ['status', 'inspect'],
  kill: ['stop'],
  log: ['logs', 'history'],
  ls: ['list'],
  make: ['build'],
  new: ['init', 'add'],
  pack: ['build', 'pack'],
  poll: ['check-in'],
  ps: ['list'],
  publish: ['put', 'platform'],
  push: ['put', 'platform'],
  reload: ['restart', 'check-in'],
  revert: ['rollback'],
  revoke: ['disable', 'retire', 'keys'],
  rm: ['remove', 'delete'],
  run: ['start', 'serve'],
  serve: ['serve', 'platform'],
  server: ['serve', 'platform'],
  set: ['write', 'config'],
  settings: ['config'],
  show: ['status', 'read', 'list'],
  sync: ['check-in'],
  tail: ['logs'],
  trust: ['add', 'keys'],
  undo: ['rollback', 'cancel'],
  uninstall: ['remove', 'uninstall'],
  unset: ['remove', 'delete'],
  up: ['start'],
  update: ['install', 'check-in', 'put'],
  upgrade: ['install'],
  upload: ['put', 'platform'],
  usage: ['traffic'],
  version: ['status'],
};

/** The one of `candidates` that `word` was probably meant to be, if any. */
export function nearestMeaning(word: string, candidates: readonly string[]): string | undefined {
  const meant = MEANINGS[word.toLowerCase()];
  if (meant !== undefined) return meant.find((each) => candidates.includes(each));
  // A word with a meaning of its own is no misspelling of a word that it resembles: `remove` is not `add`.
  const isOther = Object.values(MEANINGS).some((words) => words.includes(word.toLowerCase()));
  if (!isOther) return nearestWord(word, candidates);
  const same = Object.entries(MEANINGS).filter(([, words]) => words.includes(word.toLowerCase()));
  return same.flatMap(([key, words]) => [key, ...words]).find((each) => candidates.includes(each));
}
