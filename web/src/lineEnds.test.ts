import { expect, test } from "vitest";

import { LineEnds } from "./lineEnds";

test.each([
  [["a\r\nb\rc\nd"], "a\nb\nc\nd"],
  [["a\r", "\nb"], "a\nb"],
  [["a\r", "", "\r\n", "b\r"], "a\n\nb\n"],
  [["\r"], "\n"],
  [[""], ""],
])("%j", (pieces, text) => {
  const lines = new LineEnds();
  expect(pieces.map((piece) => lines.take(piece)).join("") + lines.rest()).toBe(text);
});
