/** What an event of a version says, in words. */

import type { VersionEvent } from "./apiTypes";

/** A version is told to be retired only where none serves after it. */
export function versionNews(number: number, state: VersionEvent["state"], time: string): string {
  if (state === "rejected") {
    return `Version ${number} failed its checks at ${time}, so what drafted before goes on.`;
  }
  if (state === "retired") {
    return `Version ${number} was taken back at ${time}; what it started from drafts again.`;
  }
  return `Version ${number} took over at ${time}.`;
}
