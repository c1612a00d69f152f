import { useConsole } from '../base/context.ts';
import { exactTime, relativeTime } from '../base/format.ts';
import { words } from '../base/words.ts';

/** Relative, with the exact time on hover and for a screen reader's details; 0 is never. */
export function Time({ at }: { at: number }) {
  const { nowS } = useConsole();
  if (at === 0) return <span>{words.ago.never}</span>;
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={exactTime(at)}>
      {relativeTime(at, nowS)}
    </time>
  );
}
