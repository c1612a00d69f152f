/** The wanted values of a form body while it comes: what else it holds costs neither memory nor a decoder. */
import { type ByteCollector, createByteCollector } from '../base/memory.ts';
import { decodePart } from './codec.ts';

export interface FormSieve {
  /** False once the wanted values are larger than the limit together. */
  add(chunk: Buffer): boolean;
  /** The body has ended. The last of repeated names counts. */
  values(): ReadonlyMap<string, string>;
  /** Nothing but the end of a line has come. */
  isEmpty(): boolean;
}

const [AMPERSAND, EQUALS, CR, LF] = [0x26, 0x3d, 0x0d, 0x0a];
/** Each byte of a name may be percent-encoded. */
const ENCODED_FACTOR = 3;

interface State {
  readonly wanted: ReadonlySet<string>;
  /** Bytes of the shortest wanted name: what is shorter needs no look. */
  readonly shortest: number;
  readonly name: ByteCollector;
  /** The value of the part being read, if it is wanted. */
  value: ByteCollector | undefined;
  at: 'name' | 'value' | 'skip';
  /** As they came. */
  readonly values: Map<string, Buffer>;
  sizeBytes: number;
  readonly limitBytes: number;
  wantedName: string;
  /** More than the end of a line. */
  hasText: boolean;
}

/** `limitBytes`: of the wanted values together, as they are on the wire. Splits as `decodeForm` does. */
export function createFormSieve(names: readonly string[], limitBytes: number): FormSieve {
  const sizes = names.map((name) => Buffer.byteLength(name));
  const longest = Math.max(0, ...sizes) * ENCODED_FACTOR;
  const state: State = {
    wanted: new Set(names),
    shortest: Math.min(...sizes),
    // The end of a line may be behind the last name.
    name: createByteCollector(longest + 2),
    value: undefined,
    at: 'name',
    values: new Map(),
    sizeBytes: 0,
    limitBytes,
    wantedName: '',
    hasText: false,
  };
  return {
    add: (chunk) => addChunk(state, chunk),
    values() {
      dropLineEnd(state);
      endPart(state);
      return new Map([...state.values].map(([name, bytes]) => [name, decodePart(bytes.toString('utf8'))]));
    },
    isEmpty: () => !state.hasText,
  };
}

function addChunk(state: State, chunk: Buffer): boolean {
  state.hasText ||= chunk.some((byte) => byte !== CR && byte !== LF);
  for (let at = 0; at < chunk.length; ) {
    const ampersand = chunk.indexOf(AMPERSAND, at);
    const end = ampersand === -1 ? chunk.length : ampersand;
    const isWhole = ampersand !== -1;
    const isPassedOver = isWhole && end - at < state.shortest && isAtStart(state);
    if (!isPassedOver) {
      if (!addPiece(state, chunk.subarray(at, end))) return false;
      if (isWhole) endPart(state);
    }
    at = end + 1;
  }
  return true;
}

function isAtStart({ at, name }: State): boolean {
  return at === 'name' && name.sizeBytes() === 0;
}

/** Takes one part, or a piece of it. */
function addPiece(state: State, piece: Buffer): boolean {
  if (state.at === 'skip') return true;
  if (state.at === 'value') return addValue(state, piece);
  const equals = piece.indexOf(EQUALS);
  if (!state.name.add(equals === -1 ? piece : piece.subarray(0, equals))) state.at = 'skip';
  if (equals === -1 || state.at === 'skip') return true;
  beginValue(state);
  return state.value === undefined || addValue(state, piece.subarray(equals + 1));
}

function beginValue(state: State): void {
  const isLong = state.name.sizeBytes() >= state.shortest;
  state.wantedName = isLong ? decodePart(state.name.bytes().toString('utf8')) : '';
  const isWanted = isLong && state.wanted.has(state.wantedName);
  state.at = isWanted ? 'value' : 'skip';
  if (!isWanted) return;
  // A repeated one takes the place of the one before.
  state.sizeBytes -= state.values.get(state.wantedName)?.length ?? 0;
  state.values.delete(state.wantedName);
  state.value = createByteCollector(state.limitBytes - state.sizeBytes);
}

function addValue(state: State, piece: Buffer): boolean {
  return state.value?.add(piece) ?? true;
}

function endPart(state: State): void {
  // A wanted name without `=` has an empty value.
  if (state.at === 'name' && state.name.sizeBytes() > 0) beginValue(state);
  if (state.at === 'value' && state.value !== undefined) {
    const bytes = Buffer.from(state.value.bytes());
    state.values.set(state.wantedName, bytes);
    state.sizeBytes += bytes.length;
  }
  state.value = undefined;
  state.name.clear();
  state.at = 'name';
}

function dropLineEnd(state: State): void {
  const open = state.at === 'value' ? state.value : state.at === 'name' ? state.name : undefined;
  if (open === undefined) return;
  const text = Buffer.from(open.bytes());
  if (text.at(-1) !== LF) return;
  open.clear();
  open.add(text.subarray(0, text.at(-2) === CR ? -2 : -1));
}
