/** What was said of drafts and is not on the server yet: kept here, and sent when it is back. */

import { ask, Refused, SignedOut, Unreachable } from "./api";
import type { Comparison, ComparisonRequest, Edit, EditRequest } from "./apiTypes";
import { standing } from "./connection";
import { Kept } from "./kept";
import { alone } from "./locks";

/** By which a request that was sent twice is known. */
type Keyed<Body> = Body & { idempotency_key: string };

export type Unsent = { madeAt: number; refused?: string } & (
  | { kind: "edit"; body: Keyed<EditRequest> }
  | { kind: "comparison"; body: Keyed<ComparisonRequest> }
);

export type Taken = Edit | Comparison;

const RETRY_MS = 2000;
/** A draft that was stopped reaches the store a moment later than its edit may. */
const MAY_STILL_COME_MS = 10_000;

export class Outbox {
  private readonly kept: Kept<Unsent>;
  private readonly watchers = new Set<(id: string, item: Unsent, answer: Taken | null) => void>();
  private again: number | undefined;
  private pauseMs = RETRY_MS;

  constructor(private readonly userId: string) {
    this.kept = new Kept<Unsent>(userId, "unsent");
  }

  start(): void {
    standing.watch((now) => {
      if (now === "here") void this.deliver();
    });
  }

  /** False where the browser could not keep it. */
  add(item: Unsent): boolean {
    return this.kept.put(item.body.idempotency_key, item);
  }

  /** Calls with each item that was taken by the server, or refused for good. */
  watch(watcher: (id: string, item: Unsent, answer: Taken | null) => void): void {
    this.watchers.add(watcher);
  }

  waiting(): Unsent[] {
    return this.items().filter((item) => item.refused === undefined);
  }

  refused(): Unsent[] {
    return this.items().filter((item) => item.refused !== undefined);
  }

  remove(item: Unsent): void {
    this.kept.remove(item.body.idempotency_key);
  }

  /** Takes what waits under these keys out; what is on its way arrives all the same. */
  drop(keys: Iterable<string>): void {
    for (const key of keys) this.kept.remove(key);
  }

  /** Sends all that waits, oldest first; what fails for now is tried again later. */
  async deliver(): Promise<void> {
    window.clearTimeout(this.again);
    this.pauseMs = RETRY_MS;
    await alone(`corll/${this.userId}/unsent`, async () => {
      for (const item of this.waiting()) {
        if (!(await this.attempt(item))) break;
      }
    });
    // Another tab may have been at it when something was added here.
    if (this.waiting().length === 0 || standing.value !== "here") return;
    window.clearTimeout(this.again);
    this.again = window.setTimeout(() => void this.deliver(), this.pauseMs);
  }

  /** Sends one item now, whether it could be kept or not. *Raises*: as `ask`. */
  async sendNow(item: Unsent): Promise<Taken> {
    return ask<Taken>("POST", item.kind === "edit" ? "/v1/edits" : "/v1/comparisons", item.body);
  }

  /** Whether to go on with the next. */
  private async attempt(item: Unsent): Promise<boolean> {
    try {
      const answer = await this.sendNow(item);
      this.remove(item);
      this.forgetMended(item);
      this.tell(item, answer);
      return true;
    } catch (error) {
      if (error instanceof Unreachable || error instanceof SignedOut) return false;
      if (!(error instanceof Refused)) throw error;
      const young = Date.now() - item.madeAt < MAY_STILL_COME_MS;
      const later = error.status === 429 || error.status === 500 || (error.status === 404 && young);
      if (later) {
        this.pauseMs = Math.max(this.pauseMs, 1000 * (error.retryAfterS ?? 0));
        return error.status === 404;
      }
      const refused = { ...item, refused: error.message };
      this.add(refused);
      this.tell(refused, null);
      return true;
    }
  }

  /** What was refused of a draft needs no mending once another text for it was taken. */
  private forgetMended(taken: Unsent): void {
    if (taken.kind !== "edit") return;
    for (const item of this.refused()) {
      if (item.kind === "edit" && item.body.draft_id === taken.body.draft_id) this.remove(item);
    }
  }

  private items(): Unsent[] {
    const items = this.kept.all().map(({ value }) => value);
    return items.sort((a, b) => a.madeAt - b.madeAt);
  }

  private tell(item: Unsent, answer: Taken | null): void {
    for (const watcher of this.watchers) watcher(item.body.idempotency_key, item, answer);
  }
}
