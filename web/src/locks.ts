/** Locks between the tabs of a browser; where it has none, each tab is taken to be alone. */

/** Lets go of what is held. */
export type Release = () => void;

/** Holds a name until let go, or the tab is gone. Null where another tab held it all that time. */
export function hold(name: string, withinMs: number): Promise<Release | null> {
  if (!("locks" in navigator)) return Promise.resolve(() => {});
  return new Promise((resolve) => {
    const options = withinMs > 0 ? { signal: AbortSignal.timeout(withinMs) } : { ifAvailable: true };
    navigator.locks
      .request(name, options, (lock) => {
        if (lock === null) return resolve(null);
        return new Promise<void>((release) => resolve(release));
      })
      .catch(() => resolve(null));
  });
}

/** Does something unless another tab is doing it. */
export async function alone(name: string, act: () => Promise<void>): Promise<void> {
  if (!("locks" in navigator)) return act();
  await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock !== null) await act();
  });
}
