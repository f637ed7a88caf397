/** What this browser keeps for a user: a key for each thing, so that tabs never share one. */

export class Kept<T> {
  constructor(
    private readonly userId: string,
    private readonly kind: string,
  ) {}

  /** Whether it could be kept: the browser's storage may be full, or closed to us. */
  put(id: string, value: T): boolean {
    try {
      localStorage.setItem(this.key(id), JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  get(id: string): T | null {
    try {
      return JSON.parse(localStorage.getItem(this.key(id)) ?? "null") as T | null;
    } catch {
      return null;
    }
  }

  remove(id: string): void {
    try {
      localStorage.removeItem(this.key(id));
    } catch {
      // Where nothing can be kept, nothing is there to remove.
    }
  }

  all(): { id: string; value: T }[] {
    const start = this.key("");
    const found: { id: string; value: T }[] = [];
    for (const key of keys()) {
      if (!key.startsWith(start)) continue;
      const id = key.slice(start.length);
      const value = this.get(id);
      if (value !== null) found.push({ id, value });
    }
    return found;
  }

  private key(id: string): string {
    return `corll/${this.userId}/${this.kind}/${id}`;
  }
}

/** How many texts are kept here, whoever wrote them; to be told before anyone has signed in. */
export function countKeptTexts(): number {
  return keys().filter((key) => /^corll\/[^/]+\/(sheet|unsent)\//.test(key)).length;
}

function keys(): string[] {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
}

export function newId(): string {
  return crypto.randomUUID();
}
