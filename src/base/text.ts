/** Text cut to a number of bytes between characters. */
export const MARK = '...';

/** The beginning of `text`, at most `limitBytes` of UTF-8 with the mark; whole characters, never half a pair. */
export function cutText(text: string, limitBytes: number): string {
  const clean = text.replace(/\p{Surrogate}/gu, '\uFFFD');
  const bytes = Buffer.from(clean);
  if (bytes.length <= limitBytes) return clean;
  let end = Math.max(0, limitBytes - MARK.length);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end) + MARK;
}
