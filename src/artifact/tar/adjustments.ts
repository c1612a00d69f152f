/**
 * What is unpacked otherwise than it is stored, because other tools pack so: said in the report, refused where a
 * manifest is.
 */
import { entryFault, quote } from '../faults.ts';

interface Rule {
  /** Behind the name of the first entry it holds for. */
  words: string;
  /** What an artifact with a manifest does not have, which gwe alone writes. */
  isForeign: boolean;
}

const RULES = {
  loose: {
    words:
      'came writable for others than root, and is not so here: what relies on that must set it in install.sh, or write to GWE_DATA_DIR',
    isForeign: false,
  },
  'special-bits': {
    words:
      'came with a setuid, setgid or sticky bit, and has none here: what needs it must set it in install.sh',
    isForeign: true,
  },
  latin1: {
    words: 'is not UTF-8 in the tarball: read as Latin-1, it has its name in UTF-8 here',
    isForeign: true,
  },
  repeated: { words: 'is in the tarball more than once: the last one is installed', isForeign: true },
  'beside-top': {
    words: 'is what macOS puts beside the directory of the app: it is left out',
    isForeign: true,
  },
  'system-link': {
    words: 'is a link to a file of the system, and installed as such: it works as long as that file is there',
    isForeign: true,
  },
  'no-end': {
    words:
      'is the last entry, and no end mark is behind it: if packing it was interrupted, files are missing',
    isForeign: true,
  },
} as const satisfies Record<string, Rule>;

type AdjustmentKind = keyof typeof RULES;

export interface Adjustment {
  kind: AdjustmentKind;
  /** How many entries, and the first of them. */
  count: number;
  first: string;
}

export class Adjustments {
  readonly #found = new Map<AdjustmentKind, Adjustment>();
  readonly #isIndexed: () => boolean;

  /** `isIndexed`: whether a manifest has been read. */
  constructor(isIndexed: () => boolean = () => false) {
    this.#isIndexed = isIndexed;
  }

  /** Throws ARTIFACT_ENTRY if there is a manifest. */
  add(kind: AdjustmentKind, path: string): void {
    if (RULES[kind].isForeign && this.#isIndexed()) {
      throw entryFault(path, `'${kind}' in a tarball with a manifest`, 'what gwe packs');
    }
    const before = this.#found.get(kind);
    if (before === undefined) this.#found.set(kind, { kind, count: 1, first: path });
    else before.count += 1;
  }

  /** In the order in which they were met. */
  list(): Adjustment[] {
    return [...this.#found.values()];
  }
}

/** One sentence for people. */
export function describeAdjustment({ kind, count, first }: Adjustment): string {
  const others = count === 1 ? '' : ` and ${count - 1} more`;
  return `${quote(first)}${others} ${RULES[kind].words}`;
}
