import { expect, test } from "vitest";

import { lettersFor } from "./sending";
import type { SheetDraft } from "./sheet";

function draft(id: string, text: string, more: Partial<SheetDraft> = {}): SheetDraft {
  const state = "whole" as const;
  return { key: id, id, prompt: "p", text, edited: text, state, stored: true, cut: false, ...more };
}

function said(drafts: SheetDraft[], sent: SheetDraft): object[] {
  const sheet = { id: "s", prompt: "p", drafts, shown: 0, changedAt: 0 };
  return lettersFor(sheet, sent, 0).map(({ kind, body }) => ({
    kind,
    ...("text" in body ? { id: body.draft_id, text: body.text } : { than: body.rejected.draft_id }),
  }));
}

test("what is sent is an edit, and better than the other whole drafts for the same words", () => {
  const sent = draft("a", "one", { edited: "one, fixed" });
  const others = [
    draft("b", "two"),
    draft("same", "one"),
    draft("older words", "x", { prompt: "q" }),
    draft("broken", "y", { state: "broken off" }),
    draft("not kept", "z", { stored: false }),
  ];
  expect(said([...others, sent], sent)).toEqual([
    { kind: "edit", id: "a", text: "one, fixed" },
    { kind: "comparison", than: "b" },
  ]);
});

test("a text is sent as it stands: what pasted control characters meant is the server's to say", () => {
  const edited = draft("a", "one", { edited: "two\u000b\u0096 lines\n" });
  expect(said([edited], edited)).toEqual([
    { kind: "edit", id: "a", text: "two\u000b\u0096 lines\n" },
  ]);
});

test("what the server does not know cannot teach", () => {
  expect(said([], draft("", "one"))).toEqual([]);
  expect(said([], draft("a", "one", { stored: false }))).toEqual([]);
});
