/** A value that others can watch. */
export class Observed<T> {
  private readonly watchers = new Set<(value: T) => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (value === this.current) return;
    this.current = value;
    for (const watcher of this.watchers) watcher(value);
  }

  /** Calls with the value now, and whenever it changes. */
  watch(watcher: (value: T) => void): void {
    this.watchers.add(watcher);
    watcher(this.current);
  }
}
