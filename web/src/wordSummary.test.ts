import { expect, test } from "vitest";

import { summary } from "./wordSummary";

test.each([
  ["The parcel is late.", "The parcel is late.", "Nothing changed so far: copied like this, it accepts the draft."],
  ["The parcel is late.", "The parcel is early.", "1 word changed."],
  ["The parcel is late.", "Dear Ann, the parcel is late", "1 word changed, 2 words added."],
  ["It is really very late.", "It is late.", "2 words taken out."],
  ["Late, sorry", "Late; sorry", "Only spaces, marks or line ends changed."],
  ["", "Hello there", "2 words added."],
])("%j becoming %j", (draft, text, said) => {
  expect(summary(draft, text)).toBe(said);
});

test("texts with nothing in common are not counted for long", () => {
  const words = (start: number): string => Array.from({ length: 20_000 }, (_, n) => `w${start + n}`).join(" ");
  const started = performance.now();
  expect(summary(words(0), words(100_000))).toBe("Most words changed.");
  expect(performance.now() - started).toBeLessThan(1000);
});
