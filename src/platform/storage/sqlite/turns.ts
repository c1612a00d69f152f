/** Long lists beside check-ins: all of SQLite is read on the event loop. */

/** How many gateways of a list are looked at in one turn: half a millisecond, since a check-in waits for several turns. */
export const ROWS_A_TURN = 25;

/** Resolves in a turn of the event loop that no other list has: one goes on in each, however many are being made. */
export type NextTurn = () => Promise<void>;

export function createTurns(): NextTurn {
  let last = Promise.resolve();
  return () => {
    last = last.then(() => new Promise((resolve) => setImmediate(resolve)));
    return last;
  };
}
