import { words } from '../base/words.ts';

/** In place of what is not there yet; above what is there, but old. */
export function Unread({ problem, isOld = false }: { problem: string | undefined; isOld?: boolean }) {
  if (problem !== undefined)
    return (
      <p role="alert" class="problem">
        {words.notRead(problem)}
      </p>
    );
  return isOld ? null : <p role="status">{words.loading}</p>;
}
