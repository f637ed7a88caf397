/** What happens on the server, as it happens. */

import { openSession } from "./api";
import { standing } from "./connection";

export interface Happenings {
  version: { number: number; state: string };
  edit: { id: string; state: string; edit_cost: number };
  import: { id: string; state: string; used: number; total: number };
}

type Kind = keyof Happenings;

const OPEN_AGAIN_MS = 1500;

const listeners: { [K in Kind]: Set<(content: Happenings[K]) => void> } = {
  version: new Set(),
  edit: new Set(),
  import: new Set(),
};
const missed = new Set<() => void>();
let source: EventSource | null = null;

export function onEvent<K extends Kind>(kind: K, listener: (content: Happenings[K]) => void): void {
  listeners[kind].add(listener);
}

/** Calls when events may have been missed: ask for the state anew. */
export function onMissed(listener: () => void): void {
  missed.add(listener);
}

/** Listens while the page is seen: browsers allow a host six connections over all their tabs. */
export function listen(): void {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  standing.watch((now) => {
    if (now === "here") open();
    else close();
  });
}

function open(): void {
  if (source !== null || document.hidden || standing.value !== "here") return;
  source = new EventSource("/v1/events");
  source.addEventListener("open", () => {
    for (const listener of missed) listener();
  });
  source.addEventListener("error", () => {
    // The browser tries again by itself; that it does not get on says `standing`, once asked.
    close();
    const again = (): void => void window.setTimeout(open, OPEN_AGAIN_MS);
    openSession().then(again, again);
  });
  for (const kind of Object.keys(listeners) as Kind[]) pass(source, kind);
}

function pass<K extends Kind>(from: EventSource, kind: K): void {
  from.addEventListener(kind, (event: MessageEvent<string>) => {
    const content = JSON.parse(event.data) as Happenings[K];
    for (const listener of listeners[kind]) listener(content);
  });
}

function close(): void {
  source?.close();
  source = null;
}
