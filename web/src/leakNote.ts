/** What is said of facts that a draft has from earlier letters. */

import type { SheetDraft } from "./sheet";

/** Which facts to look at before the text is sent; empty where there are none. */
export function leakNote(draft: SheetDraft): string {
  const facts = [...new Set(draft.leaks ?? [])].map((fact) => `“${fact}”`);
  if (facts.length === 0) return "";
  const they = facts.length === 1 ? "it is" : "they are";
  return `Look at ${facts.join(", ")}: ${they} from an earlier letter, not from what you asked for.`;
}
