/** An interval that could not be stored: in force all the same, until it is stored, replaced by hand, or gwe ends. */
import type { LoadedSettings } from '../../config/schema.ts';

export interface HeldInterval {
  hold(seconds: number): void;
  /** What is stored counts again. */
  release(): void;
  isHeld(): boolean;
  /** `stored` with the interval that is in force. */
  apply(stored: LoadedSettings): LoadedSettings;
}

export function createHeldInterval(): HeldInterval {
  let held: { seconds: number; insteadOf: number | undefined } | undefined;
  return {
    hold(seconds) {
      held = { seconds, insteadOf: held?.insteadOf };
    },
    release() {
      held = undefined;
    },
    isHeld: () => held !== undefined,
    apply(stored) {
      if (held === undefined) return stored;
      held.insteadOf ??= stored.updateIntervalS;
      // Somebody has set another one on the gateway meanwhile.
      if (held.insteadOf !== stored.updateIntervalS) held = undefined;
      return held === undefined ? stored : { ...stored, updateIntervalS: held.seconds };
    },
  };
}
