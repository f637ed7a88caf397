import { expect, test } from "vitest";

import { leakNote } from "./leakNote";
import type { SheetDraft } from "./sheet";

const draft: SheetDraft = {
  key: "k",
  id: "d",
  prompt: "p",
  text: "At 8:00, Tobias.",
  edited: "At 8:00, Tobias.",
  state: "whole",
  stored: true,
  cut: false,
};

test("facts of earlier letters are named once each", () => {
  expect(leakNote(draft)).toBe("");
  expect(leakNote({ ...draft, leaks: ["8:00"] })).toBe(
    "Look at “8:00”: it is from an earlier letter, not from what you asked for.",
  );
  expect(leakNote({ ...draft, leaks: ["8:00", "Tobias", "8:00"] })).toBe(
    "Look at “8:00”, “Tobias”: they are from an earlier letter, not from what you asked for.",
  );
});
