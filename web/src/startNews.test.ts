import { expect, test } from "vitest";

import { startingPoint, startNews, startState, whoDrafts } from "./startNews";

test("how a start stands is told by its state", () => {
  expect(startNews("House style", "examining", "10:00")).toContain("House style is being examined");
  expect(startNews("House style", "rejected", "10:00")).toContain("failed its examination at 10:00");
  expect(startNews("House style", "started", "10:00")).toBe("Your drafts start from House style since 10:00.");
  expect(startNews("House style", "unexamined", "10:00")).toContain("nobody examined it");
  expect(startNews("House style", "withdrawn", "10:00")).toBe("");
});

test("the time line tells a start that waits from one that failed", () => {
  expect(startState("examining")).toContain("being examined");
  expect(startState("rejected")).toBe("failed its examination");
});

test("the foot of the time line names what versions start from", () => {
  const adapter = { number: 2, kind: "adapter", name: "House style", examined: false } as const;
  expect(startingPoint(null)).toEqual({ name: "Base model", unexamined: false });
  expect(startingPoint({ ...adapter, kind: "base", examined: true }).name).toBe("Base model");
  expect(startingPoint(adapter)).toEqual({ name: "House style", unexamined: true });
  expect(startingPoint({ ...adapter, examined: true }).unexamined).toBe(false);
});

test("before there is a version, what versions start from drafts", () => {
  const adapter = { number: 2, kind: "adapter", name: "House style", examined: true } as const;
  expect(whoDrafts(null, undefined)).toBe("the base model");
  expect(whoDrafts(null, null)).toBe("the base model");
  expect(whoDrafts(null, { ...adapter, kind: "base" })).toBe("the base model");
  expect(whoDrafts(null, adapter)).toBe("House style");
  expect(whoDrafts(7, adapter)).toBe("your version 7");
});
