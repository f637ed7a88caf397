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

test("control characters go, save from a draft that is accepted as it is", () => {
  const edited = draft("a", "one\u007f", { edited: "two\u007f\u0000\tlines\n" });
  expect(said([edited], edited)).toEqual([{ kind: "edit", id: "a", text: "two\tlines\n" }]);
  const accepted = draft("a", "one\u007f");
  expect(said([accepted], accepted)).toEqual([{ kind: "edit", id: "a", text: "one\u007f" }]);
});

test("what the server does not know cannot teach", () => {
  expect(said([], draft("", "one"))).toEqual([]);
  expect(said([], draft("a", "one", { stored: false }))).toEqual([]);
});
