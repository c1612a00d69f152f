import { words } from '../base/words.ts';

/** Shown in place of what has not been read yet, or above what was read earlier. */
export function Unread({ problem, isOld = false }: { problem: string | undefined; isOld?: boolean }) {
  if (problem !== undefined)
    return (
      <p role="alert" class="problem">
        {words.notRead(problem)}
      </p>
    );
  return isOld ? null : <p role="status">{words.loading}</p>;
}
