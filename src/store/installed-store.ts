import { RESERVED_APP_NAME, renderArtifactName } from '../artifact/name.ts';
import type { VersionRecord } from '../artifact/record.ts';
import { copyPath } from '../base/edited-file.ts';
import { describeError } from '../base/errors.ts';
import { type StoredFile, storedFile } from '../base/stored-file.ts';
import { type InstalledApp, InstalledSchema, type InstalledStore } from './installed.ts';
import type { Layout } from './layout.ts';
import { readOwnRecord, rebuildInstalled } from './rebuild-installed.ts';

const LARGEST_STATE_BYTES = 4 * 1024 * 1024;

interface MendedStore extends InstalledStore {
  /** Rewrites a damaged file and keeps its former content beside it. Returns what was wrong; `undefined` if nothing was. */
  repair(): string | undefined;
}

type Apps = Record<string, InstalledApp>;
type File = StoredFile<{ version: 1; apps: Apps }>;

/**
 * The copy is no second file of state: it may be of the moment before. What is active is what `current` points at, and the
 * copy only says more about it (`rebuildInstalled`). Of gwe itself its links always count (`readOwnRecord`).
 */
export function createInstalledStore(layout: Layout): MendedStore {
  const format = { schema: InstalledSchema, limitBytes: LARGEST_STATE_BYTES };
  const file: File = storedFile(layout.installed, format);
  const copy: File = storedFile(copyPath(layout.installed), format);
  const rebuild = (): Apps => rebuildInstalled(layout, copy.readOr(undefined)?.apps);
  const all = (): Apps => {
    const apps = file.readOr(undefined)?.apps;
    if (apps === undefined) return rebuild();
    const { [RESERVED_APP_NAME]: known, ...others } = apps;
    const own = readOwnRecord(layout, known);
    return own === undefined ? others : { ...others, [RESERVED_APP_NAME]: own };
  };
  const write = (apps: Apps): void => {
    file.write({ version: 1, apps });
    copy.write({ version: 1, apps });
  };
  return {
    all,
    get: (app) => all()[app] ?? { refused: [] },
    set(app, record) {
      const { [app]: _old, ...others } = all();
      write(record === undefined ? others : { ...others, [app]: record });
    },
    repair() {
      const found = faultOf(file);
      if (found === undefined) return undefined;
      const apps = rebuild();
      // gwe alone is what 'gwe service install' leaves on a new gateway.
      if (found === GONE && Object.keys(apps).every((app) => app === RESERVED_APP_NAME)) return undefined;
      const kept = found === GONE ? '' : `; what was there is kept as '${file.setAside()}'`;
      write(apps);
      return `${found}: rebuilt from the versions on the disk, the links to them and the history${kept}`;
    },
  };
}

const GONE = 'the record of what is installed is missing';

function faultOf(file: File): string | undefined {
  try {
    return file.read() === undefined ? GONE : undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** gwe itself, as 'gwe service install' has put it in place: listed, restarted and gone back to like an app from then on. */
export function recordOwnVersion(
  layout: Layout,
  { version, digest, installedAtMs }: Pick<VersionRecord, 'version' | 'digest' | 'installedAtMs'>,
): void {
  const app = RESERVED_APP_NAME;
  const store = createInstalledStore(layout);
  const contentId = renderArtifactName({ name: app, version });
  const active = { version, digest, contentId, hasProgram: false, installedAtMs };
  store.set(app, { ...store.get(app), active });
}
