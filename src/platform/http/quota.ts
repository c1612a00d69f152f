/** How much of something all may have together, and each one. */

export interface Quota {
  /** Takes `amount` for `holder` and returns how to give it back; `undefined` where there is not so much left. */
  take(holder: string, amount?: number): (() => void) | undefined;
  /** By all together. */
  taken(): number;
}

export function createQuota({ total, each }: { total: number; each: number }): Quota {
  const held = new Map<string, number>();
  let taken = 0;
  return {
    taken: () => taken,
    take(holder, amount = 1) {
      const own = held.get(holder) ?? 0;
      if (own + amount > each || taken + amount > total) return undefined;
      held.set(holder, own + amount);
      taken += amount;
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        taken -= amount;
        const left = (held.get(holder) ?? 0) - amount;
        if (left > 0) held.set(holder, left);
        else held.delete(holder);
      };
    },
  };
}
