/** What an event of a version means for the next draft, in words. */

import type { VersionEvent } from "./apiTypes";

/** A version is told to be retired only where none serves after it. */
export function versionNews(number: number, state: VersionEvent["state"], time: string): string {
  if (state === "rejected") {
    return `Version ${number} failed its checks at ${time}, so the former one goes on.`;
  }
  if (state === "retired") {
    return `Version ${number} was taken back at ${time}; the next draft is by what it started from.`;
  }
  return `Version ${number} took over at ${time}; the next draft is its.`;
}
