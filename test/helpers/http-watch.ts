/** Follows the requests and answers of one connection as they pass, to tell which bytes are of the content area. */

export interface AnswerPart {
  bytes: Buffer;
  /** Of the body of an item (not of its info). */
  isContent: boolean;
  /** The first of its answer. */
  isFirst: boolean;
}

export interface HttpWatch {
  asked(bytes: Buffer): void;
  /** The same bytes, cut where answers begin, and where their bodies do. */
  answered(bytes: Buffer): AnswerPart[];
}

export function createHttpWatch(): HttpWatch {
  const isContent: boolean[] = [];
  const requests = createHeads((head) => {
    const [line = ''] = head.split('\r\n');
    isContent.push(line.includes('/provision/download?') && !line.includes('info=true'));
    return lengthOf(head) ?? 0;
  });
  let isOfContent = false;
  const answers = createHeads((head) => {
    isOfContent = isContent.shift() ?? false;
    return / 204 /.test(head.slice(0, 16)) ? 0 : (lengthOf(head) ?? Number.POSITIVE_INFINITY);
  });
  return {
    asked: (bytes) => void requests(bytes),
    answered: (bytes) =>
      answers(bytes).map((part) => ({
        bytes: part.bytes,
        isContent: part.isBody && isOfContent,
        isFirst: part.isFirst,
      })),
  };
}

function lengthOf(head: string): number | undefined {
  const found = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  return found === undefined ? undefined : Number(found);
}

interface Part {
  bytes: Buffer;
  isBody: boolean;
  isFirst: boolean;
}

/** Cuts a stream of messages into heads and bodies; `onHead` is asked for the length of the body behind each head. */
function createHeads(onHead: (head: string) => number): (bytes: Buffer) => Part[] {
  let head = '';
  let bodyLeft = 0;
  return (bytes) => {
    const parts: Part[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (bodyLeft > 0) {
        const body = bytes.subarray(at, at + Math.min(bodyLeft, bytes.length - at));
        parts.push({ bytes: body, isBody: true, isFirst: false });
        bodyLeft -= body.length;
        at += body.length;
        continue;
      }
      const before = head.length;
      head += bytes.subarray(at).toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      const length = end === -1 ? bytes.length - at : end + 4 - before;
      parts.push({ bytes: bytes.subarray(at, at + length), isBody: false, isFirst: before === 0 });
      at += length;
      if (end === -1) continue;
      bodyLeft = onHead(head.slice(0, end + 2));
      head = '';
    }
    return parts;
  };
}
