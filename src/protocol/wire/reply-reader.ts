/**
 * Replies as servers and middleboxes write them -> as the runtime's parser takes them. The head is rewritten instead of
 * having the parser be lenient (insecureHTTPParser): what that takes differs by the runtime's version, still refuses
 * half of this, and then takes what contradicts itself. A reply goes to nobody else, so that nothing can be smuggled by
 * reading it; where two lengths contradict each other it is refused all the same.
 */

/** The parser sees the whole of a longer head, and refuses it. */
const MAX_HEAD_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);
const LINE_END = /\r?\n/;

type State = { at: 'head' } | { at: 'body'; leftBytes: number } | { at: 'through' };

export class ReplyReader {
  #state: State = { at: 'head' };
  #head = NOTHING;
  #hasExtra = false;

  /** Whether bytes came that belong to no reply: nothing that this connection brings is to be trusted any more. */
  get hasExtra(): boolean {
    return this.#hasExtra;
  }

  /** Another request is about to be sent. */
  next(): void {
    this.#state = { at: 'head' };
    this.#head = NOTHING;
  }

  /** What the parser is to see of `chunk`, and of what was kept before. */
  take(chunk: Buffer): Buffer {
    switch (this.#state.at) {
      case 'through':
        return chunk;
      case 'head':
        return this.#takeHead(chunk);
      case 'body': {
        const part = chunk.subarray(0, this.#state.leftBytes);
        this.#state.leftBytes -= part.length;
        this.#hasExtra ||= part.length < chunk.length;
        return part;
      }
    }
  }

  /** The connection is over: what was kept. */
  end(): Buffer {
    const kept = this.#head;
    this.#head = NOTHING;
    return kept;
  }

  #takeHead(chunk: Buffer): Buffer {
    const bytes = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    const text = bytes.subarray(0, MAX_HEAD_BYTES).toString('latin1');
    const start = /^[\r\n]*/.exec(text)?.[0].length ?? 0;
    const end = /\r?\n\r?\n/.exec(text.slice(start));
    if (end === null) {
      const isReply = 'HTTP/1.'.startsWith(text.slice(start, start + 7));
      if (isReply && bytes.length < MAX_HEAD_BYTES) {
        this.#head = Buffer.from(bytes);
        return NOTHING;
      }
      return this.#letThrough(bytes);
    }
    const head = text.slice(start, start + end.index);
    const status = Number(/^HTTP\/1\.[01] +(\d{3})(?!\d)/.exec(head)?.[1] ?? 0);
    if (status === 0) return this.#letThrough(bytes);
    this.#head = NOTHING;
    const { lines, leftBytes } = tidy(head, status);
    const rest = bytes.subarray(start + end.index + end[0].length);
    const written = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
    const isInterim = status >= 100 && status < 200;
    if (!isInterim) this.#state = leftBytes === undefined ? { at: 'through' } : { at: 'body', leftBytes };
    return rest.length === 0 ? written : Buffer.concat([written, this.take(rest)]);
  }

  #letThrough(bytes: Buffer): Buffer {
    this.#state = { at: 'through' };
    this.#head = NOTHING;
    return bytes;
  }
}

interface Field {
  name: string;
  value: string;
}

/** The lines of a head as they should have been, and how long the body is where that is said. */
function tidy(head: string, status: number): { lines: string[]; leftBytes: number | undefined } {
  const [statusLine = '', ...rest] = head.split(LINE_END);
  const fields = toFields(rest);
  const isCoded = fields.some(({ name }) => name === 'transfer-encoding');
  const lengths = fields
    .filter(({ name }) => name === 'content-length')
    .flatMap(({ value }) => value.split(',').map((each) => each.trim()));
  const isOneLength = new Set(lengths).size === 1 && /^\d{1,15}$/.test(lengths[0] ?? '');
  // Chunked encoding takes precedence (RFC 9112 §6.3).
  const isReplaced = isOneLength || isCoded;
  const kept = fields.filter(
    ({ name }) => name !== 'set-cookie' && !(isReplaced && name === 'content-length'),
  );
  const lines = [statusLine, ...kept.map(({ name, value }) => `${name}: ${value}`)];
  if (isOneLength && !isCoded) lines.push(`content-length: ${lengths[0]}`);
  if (status === 204 || status === 304) return { lines, leftBytes: 0 };
  return { lines, leftBytes: isOneLength && !isCoded ? Number(lengths[0]) : undefined };
}

/** Folded lines joined (RFC 9112 §5.2), blanks in front of a colon taken out (§5.1), lines without one left out. */
function toFields(lines: readonly string[]): Field[] {
  const fields: Field[] = [];
  for (const line of lines) {
    const before = fields.at(-1);
    if (/^[ \t]/.test(line)) {
      if (before !== undefined) before.value = `${before.value} ${line.trim()}`.trim();
      continue;
    }
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trimEnd().toLowerCase();
    if (colon > 0 && /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name))
      fields.push({ name, value: line.slice(colon + 1).trim() });
  }
  return fields;
}
