import { describe, expect, it } from "vitest";
import type { Arms } from "./apiTypes";
import { trialLines } from "./arms";

const figure = (arm: "both" | "memory", mean: number, count: number) => ({ arm, mean, low: mean, high: mean, count, accepted: 0 });
const UNDER_WAY: Arms = {
  choice: "auto",
  serving: "both",
  challenger: "memory",
  share: 0.3,
  verdict: "not known yet",
  costs: [figure("both", 0.25, 14), figure("memory", 0.5, 1)],
  difference: null,
  decided: [],
  learned: "not known yet",
  letters: "not known yet",
};

describe("the trial between two ways of drafting", () => {
  it("says what is known of it", () => {
    expect(trialLines(UNDER_WAY)).toEqual([
      "“Your model, after your letters” drafts, and by chance in 30 % of cases “The base model, after your letters”; " +
        "whether it saves you edits is not known yet (edit cost 0.50 in 1 draft against 0.25 in 14 drafts).",
    ]);
  });

  it("says nothing before any draft was answered, or where none is tried", () => {
    expect(trialLines({ ...UNDER_WAY, costs: [] })).toEqual([]);
    expect(trialLines({ ...UNDER_WAY, challenger: null })).toEqual([]);
  });

  it("has no figure of an arm without answered drafts", () => {
    expect(trialLines({ ...UNDER_WAY, costs: [figure("both", 0.25, 2)] })[0]).toContain("edit cost not known against 0.25 in 2 drafts");
  });

  it("says what was decided, and what was chosen", () => {
    const decided = [{ winner: "memory" as const, loser: "both" as const, drafts: 31, decided_at: 0 }];
    expect(trialLines({ ...UNDER_WAY, choice: "base", decided })).toEqual([
      "“The base model, after your letters” saved you more than “Your model, after your letters”: decided by 31 drafts.",
      "You chose who drafts: “The base model alone”.",
    ]);
  });
});
