/** Byte ranges as HTTP says them (RFC 9110 §14), single ones only. */

/** From `start` to `end` inclusive (or the end of the file), or the last `suffix` bytes. */
export type ByteRange = { start: number; end?: number } | { suffix: number };

/** What a Content-Range says: `start` to `end` inclusive, of `total` if that is told. */
export interface ContentRange {
  start: number;
  end: number;
  total: number | undefined;
}

export function renderRange(range: ByteRange): string {
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ''}`;
}

/** `bytes 0-1023/23427` or with `*` for the total; `undefined` for none or one that makes no sense. */
export function parseContentRange(text: string | null): ContentRange | undefined {
  const match = /^bytes[ =](\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(text?.trim() ?? '');
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]);
  const total = match[3] === '*' ? undefined : Number(match[3]);
  return start > end || (total !== undefined && end >= total) ? undefined : { start, end, total };
}

/** Whether `got` is what `asked` means; a server may send less than asked, but not from elsewhere. */
export function matchRange(asked: ByteRange, got: ContentRange): boolean {
  if ('suffix' in asked) {
    return (
      got.total !== undefined &&
      got.end === got.total - 1 &&
      got.start === Math.max(0, got.total - asked.suffix)
    );
  }
  return got.start === asked.start && (asked.end === undefined || got.end <= asked.end);
}
