/** How a start from an adapter that was made elsewhere stands, in words. */

import type { OwnReference, ReferenceStart, StartEvent } from "./apiTypes";

/** What an event of a start means for the next draft; nothing where another start took its place. */
export function startNews(name: string, state: StartEvent["state"], time: string): string {
  switch (state) {
    case "examining":
      return `${name} is being examined; what drafts now goes on until it passed.`;
    case "rejected":
      return `${name} failed its examination at ${time}, so what drafted before goes on.`;
    case "started":
      return `Your drafts start from ${name} since ${time}.`;
    case "unexamined":
      return `Your drafts start from ${name} since ${time}; nobody examined it.`;
    case "withdrawn":
      return "";
  }
}

/** What the time line says of a start that does not serve. */
export function startState(state: ReferenceStart["state"]): string {
  return state === "rejected" ? "failed its examination" : "being examined; what drafts now goes on until it passed";
}

/** What versions start from, as the foot of the time line names it. */
export function startingPoint(reference: OwnReference | null): { name: string; unexamined: boolean } {
  const adapter = adapterOf(reference);
  return { name: adapter?.name ?? "Base model", unexamined: adapter !== null && !adapter.examined };
}

/** Who drafts, by a version's number: before there is one the base, or what versions start from. */
export function whoDrafts(version: number | null, reference: OwnReference | null | undefined): string {
  if (version !== null) return `your version ${version}`;
  return adapterOf(reference)?.name ?? "the base model";
}

/** The adapter that versions start from; null where that is the base. */
export function adapterOf(reference: OwnReference | null | undefined): OwnReference | null {
  return reference?.kind === "adapter" ? reference : null;
}
