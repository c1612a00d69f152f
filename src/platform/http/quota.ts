/** How much of something all holders may have together, and each of them. */

export interface Quota {
  /**
   * Takes `amount` for `holder`, and returns a function that gives it back; `undefined` if there is not enough left.
   */
  take(holder: string, amount?: number): (() => void) | undefined;
  /** The amount that all holders have together. */
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
