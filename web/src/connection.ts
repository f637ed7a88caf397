/** How the desk stands with the server, and the quiet attempts to reach it again. */

import { Observed } from "./observed";

export type Standing = "here" | "away" | "signed out" | "another user";

export const standing = new Observed<Standing>("here");

const FIRST_ATTEMPT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

let attempt: () => Promise<void> = async () => {};
let wait = FIRST_ATTEMPT_MS;
let timer: number | undefined;

/** What to ask the server for, to find out whether it is back; it says so by `noteHere`. */
export function reachAgainBy(ask: () => Promise<void>): void {
  attempt = ask;
  window.addEventListener("online", () => void tryNow());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && standing.value !== "here") void tryNow();
  });
}

export function noteHere(): void {
  window.clearTimeout(timer);
  timer = undefined;
  wait = FIRST_ATTEMPT_MS;
  standing.set("here");
}

export function noteAway(): void {
  if (standing.value === "here") standing.set("away");
  tryLater();
}

/** Signing in happens in another tab or by a link, so we look for it now and then. */
export function noteSignedOut(other: boolean): void {
  standing.set(other ? "another user" : "signed out");
  tryLater();
}

async function tryNow(): Promise<void> {
  window.clearTimeout(timer);
  timer = undefined;
  await attempt().catch(() => tryLater());
}

function tryLater(): void {
  if (timer !== undefined) return;
  timer = window.setTimeout(() => void tryNow(), wait);
  wait = Math.min(2 * wait, LONGEST_WAIT_MS);
}
