import { expect, test } from "vitest";

import { begunWith, canGoOn, hasCome, newDraft, sameAsked, type Sheet } from "./sheet";

const asked = { prompt: "p", frame: "reply", hint: "yes", signAs: "Anna" } as const;

test("a draft that goes on begins with the text as it stands", () => {
  const draft = newDraft(asked, { key: "a", text: "Dear Tom, we" });
  expect([draft.text, draft.edited, draft.state]).toEqual(["Dear Tom, we", "Dear Tom, we", "coming"]);
  expect(hasCome(draft)).toBe(false);
  draft.text += " come.";
  expect(hasCome(draft)).toBe(true);
  expect(hasCome(newDraft(asked))).toBe(false);
});

test("only a draft that was cut can be gone on with, and none that repeated itself", () => {
  const whole = { ...newDraft(asked), text: "Dear", edited: "Dear", state: "whole" as const };
  expect(canGoOn(whole)).toBe(false);
  expect(canGoOn({ ...whole, cut: true })).toBe(true);
  expect(canGoOn({ ...whole, cut: true, looped: true })).toBe(false);
  expect(canGoOn({ ...whole, cut: true, edited: " " })).toBe(false);
  expect(canGoOn({ ...whole, cut: true, state: "broken off" })).toBe(false);
});

test("a sheet of before there were frames had none", () => {
  expect(sameAsked({ prompt: "p" }, { prompt: "p", frame: "none", hint: "", signAs: "" })).toBe(true);
  expect(sameAsked({ prompt: "p" }, asked)).toBe(false);
});

test("what a draft goes on with is found to its first beginning", () => {
  const drafts = ["", "a", "b"].map((before, index) => ({
    ...newDraft(asked, before === "" ? undefined : { key: before, text: "x" }),
    key: "abc"[index]!,
  }));
  const sheet: Sheet = { id: "s", prompt: "p", drafts, shown: 0, changedAt: 0 };
  expect(begunWith(sheet, drafts[2]!).map(({ key }) => key)).toEqual(["b", "a"]);
});
