import { describe, expect, it } from "vitest";

import type { Import } from "./apiTypes";
import { brought } from "./importSummary";

const cost = { mean: 1.4, low: 0.9, high: 2 };

function done(change: { mean: number; low: number; high: number }): Import {
  const result = {
    held_out: 20,
    version: 10,
    edit_cost_before: cost,
    edit_cost_after: cost,
    change: { mean: 0, low: -0.1, high: 0.1 },
    surprisal_before: { mean: 2, low: 1.8, high: 2.2 },
    surprisal_after: { mean: 1.5, low: 1.3, high: 1.7 },
    surprisal_change: change,
  };
  const times = { created_at: 1, finished_at: 2 };
  return { id: "import_1", object: "import", user: "user_1", state: "done", total: 100, used: 80, skipped: 0, skipped_texts: [], result, error: null, ...times };
}

describe("what an import brought", () => {
  it("tells an edit cost that shows nothing, and a way of writing that became likelier", () => {
    expect(brought(done({ mean: -0.5, low: -0.7, high: -0.3 }))).toEqual([
      "80 texts of 100 taught the model; version 10 drafts now.",
      "On 20 texts that it never saw, edit cost was 1.40 (95 %: 0.90 to 2.00) before and " +
        "1.40 (95 %: 0.90 to 2.00) after.",
      "The interval of the change holds 0: these texts do not show a difference.",
      "The way you wrote them has become more likely to it: " +
        "-0.50 (95 %: -0.70 to -0.30) nats a token.",
    ]);
  });

  it("names the texts that teach nothing, the first ten with their reasons", () => {
    const skipped_texts = Array.from({ length: 12 }, (_, at) => ({ item: at + 1, reason: "It is empty." }));
    const lines = brought({ ...done({ mean: 0, low: 0, high: 0 }), skipped: 12, skipped_texts });
    expect(lines.slice(1, 3)).toEqual(["Text 1 teaches nothing: It is empty.", "Text 2 teaches nothing: It is empty."]);
    expect(lines.slice(10, 12)).toEqual(["Text 10 teaches nothing: It is empty.", "2 more texts teach nothing."]);
  });

  it("says so where that shows nothing either, or the contrary", () => {
    expect(brought(done({ mean: 0.1, low: -0.1, high: 0.3 })).at(-1)).toBe(
      "How likely the way you wrote them is to it has not clearly changed: " +
        "+0.10 (95 %: -0.10 to +0.30) nats a token.",
    );
    const harmed = done({ mean: 0.2, low: 0.1, high: 0.3 });
    expect(brought(harmed).at(-1)).toContain("less likely");
    const taken_back = { ...harmed, result: { ...harmed.result, taken_back: true, version: null } };
    expect(brought(taken_back)[0]).toBe("80 texts of 100 taught the model.");
    expect(brought(taken_back).at(-1)).toContain("does not draft");
  });
});
