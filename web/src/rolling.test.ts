import { expect, test } from "vitest";

import { rollingMean, rollingShare } from "./rolling";

test("the mean moves along, with a band by its standard error", () => {
  const { mean, low, high } = rollingMean([1, 3, 5], 2);
  expect(mean).toEqual([1, 2, 4]);
  // Of 3 and 5: standard deviation √2, standard error 1.
  expect(high[2]).toBeCloseTo(4 + 1.96);
  expect(low[2]).toBeCloseTo(4 - 1.96);
  expect(low[0]).toBeGreaterThanOrEqual(0);
});

test("shares have Wilson's band, which never leaves 0 to 1", () => {
  const { mean, low, high } = rollingShare([true, true, false, false], 4);
  expect(mean).toEqual([1, 1, 2 / 3, 0.5]);
  expect(low[3]).toBeCloseTo(0.15, 2);
  expect(high[3]).toBeCloseTo(0.85, 2);
  expect(high[0]).toBeCloseTo(1);
});
