/**
 * An order of versions that works for any text: app versions are bound only in which letters they use
 * (one-platform.md §4.5).
 */

/**
 * Negative if `a` comes before `b`, 0 where neither does. Runs of digits, of any length, compare as numbers; letters
 * come before the end (`2.1-rc1`, then `2.1`); a missing number is 0, so `2.1` and `2.1.0` are in the same place.
 */
export function compareVersionOrder(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = compareParts(left[at] ?? '', right[at] ?? '');
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Digits without leading zeros (empty for 0) and runs of letters, in lower case. */
function partsOf(version: string): string[] {
  return (version.toLowerCase().match(/\d+|[a-z]+/g) ?? []).map((part) => part.replace(/^0+/, ''));
}

function compareParts(left: string, right: string): number {
  const [isLeftWord, isRightWord] = [isWord(left), isWord(right)];
  if (isLeftWord !== isRightWord) return isLeftWord ? -1 : 1;
  if (!isLeftWord && left.length !== right.length) return left.length - right.length;
  return left === right ? 0 : left < right ? -1 : 1;
}

function isWord(part: string): boolean {
  return /^[a-z]/.test(part);
}
