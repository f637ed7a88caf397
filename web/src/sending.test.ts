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

test("what was told otherwise was not the same choice", () => {
  const sent = draft("a", "one", { frame: "reply", hint: "yes" });
  const others = [
    draft("other hint", "two", { frame: "reply", hint: "no" }),
    draft("other name", "three", { frame: "reply", hint: "yes", signAs: "Anna" }),
    draft("other frame", "four", { frame: "write", hint: "yes" }),
    draft("same", "five", { frame: "reply", hint: "yes", signAs: "" }),
  ];
  expect(said([...others, sent], sent).slice(1)).toEqual([{ kind: "comparison", than: "same" }]);
  const older = draft("older", "six");
  const bare = draft("bare", "seven", { frame: "none" });
  expect(said([older, bare], bare).slice(1)).toEqual([{ kind: "comparison", than: "older" }]);
});

test("a draft that goes on is edited as a whole, and is not better than its beginning", () => {
  const first = draft("a", "Dear Tom, we", { cut: true });
  const whole = draft("b", "Dear Tom, we come.", {
    goesOn: { key: "a", text: "Dear Tom, we" },
    edited: "Dear Tom, I come.",
  });
  const other = draft("c", "Hi.");
  expect(said([first, whole, other], whole)).toEqual([
    { kind: "edit", id: "b", text: "Dear Tom, I come." },
    { kind: "comparison", than: "c" },
  ]);
  // Its beginning was no choice of its own.
  expect(said([first, whole, other], other).slice(1)).toEqual([{ kind: "comparison", than: "b" }]);
});

test("what was changed before going on is an edit of the beginning, if its ending stood", () => {
  const first = draft("a", "Dear Tom, we", { cut: true });
  const goesOn = { key: "a", text: "Hello Tim, we" };
  const whole = draft("b", "Hello Tim, we come.", { goesOn });
  expect(said([first, whole], whole)).toEqual([
    { kind: "edit", id: "b", text: "Hello Tim, we come." },
    { kind: "edit", id: "a", text: "Hello Tim, we" },
  ]);
  const otherEnd = draft("b", "Hello Tim, I come.", { goesOn: { key: "a", text: "Hello Tim, I" } });
  expect(said([first, otherEnd], otherEnd)).toEqual([
    { kind: "edit", id: "b", text: "Hello Tim, I come." },
  ]);
});
