/** What sending a text says of its drafts: an edit of one, and that the others were not chosen. */

import { newId } from "./kept";
import type { Sheet, SheetDraft } from "./sheet";
import type { Unsent } from "./unsent";

export function lettersFor(sheet: Sheet, sent: SheetDraft, now: number = Date.now()): Unsent[] {
  if (sent.id === "" || !sent.stored) return [];
  const chosen = { draft_id: sent.id, choice: 0 };
  const edit: Unsent = {
    kind: "edit",
    madeAt: now,
    body: { ...chosen, text: sent.edited, idempotency_key: newId() },
  };
  const others = sheet.drafts.filter((draft) => draft !== sent && isComparable(draft, sent));
  const comparisons = others.map((other, index): Unsent => {
    const rejected = { draft_id: other.id, choice: 0 };
    return {
      kind: "comparison",
      madeAt: now + 1 + index,
      body: { chosen, rejected, idempotency_key: newId() },
    };
  });
  return [edit, ...comparisons];
}

/** Two whole drafts for the same words; a draft that broke off was not a fair choice. */
function isComparable(draft: SheetDraft, sent: SheetDraft): boolean {
  const whole = [draft, sent].every((one) => one.id !== "" && one.stored && one.state === "whole");
  return whole && draft.prompt === sent.prompt && draft.text.trim() !== sent.text.trim();
}
