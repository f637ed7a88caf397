/** What sending a text says of its drafts: an edit of one, and that the others were not chosen. */

import { newId } from "./kept";
import { begunWith, sameAsked, type Sheet, type SheetDraft } from "./sheet";
import type { Unsent } from "./unsent";

export function lettersFor(sheet: Sheet, sent: SheetDraft, now: number = Date.now()): Unsent[] {
  if (sent.id === "" || !sent.stored) return [];
  const chosen = { draft_id: sent.id, choice: 0 };
  const edit: Unsent = {
    kind: "edit",
    madeAt: now,
    body: { ...chosen, text: sent.edited, idempotency_key: newId() },
  };
  const ancestors = begunWith(sheet, sent);
  const edits = editsBeforeGoingOn([sent, ...ancestors], now);
  const others = sheet.drafts.filter(
    (draft) => isComparable(draft, sent) && !ancestors.includes(draft) && !goneOnWith(sheet, draft),
  );
  const comparisons = others.map((other, index): Unsent => {
    const rejected = { draft_id: other.id, choice: 0 };
    return {
      kind: "comparison",
      madeAt: now + 1 + edits.length + index,
      body: { chosen, rejected, idempotency_key: newId() },
    };
  });
  return [edit, ...edits, ...comparisons];
}

/** What was changed of a draft before it was gone on with, where its ending was left as it was. */
function editsBeforeGoingOn(chain: SheetDraft[], now: number): Unsent[] {
  return chain.slice(1).flatMap((before, index) => {
    const text = chain[index]!.goesOn!.text;
    const isKnown = before.id !== "" && before.stored;
    // Another last word would say that the text ends there, which nobody said.
    if (!isKnown || text.trim() === before.text.trim() || lastWord(text) !== lastWord(before.text)) return [];
    const body = { draft_id: before.id, choice: 0, text, idempotency_key: newId() };
    return [{ kind: "edit", madeAt: now + 1 + index, body } satisfies Unsent];
  });
}

function lastWord(text: string): string {
  return text.trim().split(/\s+/).at(-1) ?? "";
}

/** Whether another draft begins with it, and so stands for both. */
function goneOnWith(sheet: Sheet, draft: SheetDraft): boolean {
  return sheet.drafts.some(({ goesOn }) => goesOn?.key === draft.key);
}

/** Two whole drafts for the same words; a draft that broke off was not a fair choice. */
function isComparable(draft: SheetDraft, sent: SheetDraft): boolean {
  const whole = [draft, sent].every((one) => one.id !== "" && one.stored && one.state === "whole");
  const isOther = draft !== sent && draft.text.trim() !== sent.text.trim();
  return whole && isOther && sameAsked(draft, sent);
}
