/** What happens on the server, as it happens. */

import { openSession } from "./api";
import type { Events } from "./apiTypes";
import { standing } from "./connection";

type Kind = keyof Events;

const OPEN_AGAIN_MS = 1500;

const listeners: { [K in Kind]: Set<(content: Events[K]) => void> } = {
  version: new Set(),
  edit: new Set(),
  import: new Set(),
  start: new Set(),
};
const missed = new Set<() => void>();
let source: EventSource | null = null;

export function onEvent<K extends Kind>(kind: K, listener: (content: Events[K]) => void): void {
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
    const content = JSON.parse(event.data) as Events[K];
    for (const listener of listeners[kind]) listener(content);
  });
}

function close(): void {
  source?.close();
  source = null;
}
