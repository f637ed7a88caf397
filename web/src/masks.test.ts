import { expect, test } from "vitest";

import { maskNote } from "./masks";

test("what is masked is named once each", () => {
  expect(maskNote({ masked: [] })).toBe("");
  expect(maskNote({ masked: ["4711"] })).toBe("Masked before learning: “4711”.");
  expect(maskNote({ masked: ["4711", "a@firm.example", "4711"] })).toBe(
    "Masked before learning: “4711”, “a@firm.example”.",
  );
});
