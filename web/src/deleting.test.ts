import { describe, expect, it } from "vitest";

import type { Receipt } from "./apiTypes";
import { cost, done, notUndone, pathOf, undone } from "./deleting";

const counts = { drafts: 0, edits: 0, comparisons: 0, preferences: 0, imported_texts: 0 };
const receipt: Receipt = {
  object: "deletion",
  id: "deletion_1",
  kind: "edit",
  subject: "edit_1",
  user: "user_1",
  deleted_at: 1,
  counts: { ...counts, edits: 1, preferences: 1 },
  erased: [],
  references: [],
  stands_in: null,
  replay: { state: "none", edits: 0, seconds: 0 },
  first_without: null,
  drafts_of_erased: 0,
  drafts_behind: 0,
  cleaned: true,
  sha256: "0",
};
const version = (number: number, user = "user_1"): Receipt["erased"][0] => ({ user, number, id: `ver_${number}`, manifest_sha256: null });
const stands_in = { number: 2, id: "ver_2", manifest_sha256: null };

describe("a deletion in words", () => {
  it("says what it undoes, by the server's plan", () => {
    expect(undone(receipt)).toEqual(["Gone for good: 1 edit."]);
    const learned = { ...receipt, erased: [version(3)], stands_in };
    expect(undone(learned)).toEqual([
      "Gone for good: 1 edit.",
      "Version 3 learned from it and is erased, with no way back.",
      "From then on version 2 drafts.",
    ]);
    const all: Receipt = {
      ...receipt,
      kind: "texts",
      counts: { ...counts, drafts: 2, edits: 1, comparisons: 1, imported_texts: 1200 },
      erased: [version(1), version(2), version(3), version(7, "user_2")],
      references: [4],
    };
    expect(undone(all)).toEqual([
      "Gone for good: 2 drafts, 1 edit, 1 comparison and 1,200 imported texts.",
      "Your account, its switches and its keys stay.",
      "Versions 1, 2 and 3 learned from it and are erased, with no way back.",
      "From then on the model that you started from, with nothing learned, drafts.",
      "1 version of other users, made of yours, is erased too.",
      "1 starting point made of such a version is erased too.",
    ]);
    expect(undone({ ...receipt, kind: "model", counts })[0]).toContain("Your texts stay.");
  });

  it.each([
    [null, "replays 312 edits; how long that takes is not known."],
    [42.4, "replays 312 edits, about 42 seconds."],
    [89.9, "replays 312 edits, about 90 seconds."],
    [90, "replays 312 edits, about 2 minutes."],
    [360, "replays 312 edits, about 6 minutes."],
  ])("says what it costs: %s s", (seconds, said) => {
    expect(cost({ ...receipt, replay: { state: "waiting", edits: 312, seconds } })).toContain(said);
  });

  it("says so where it costs nothing", () => {
    expect(cost(receipt)).toBe("Nothing has to be learned again.");
  });

  it("says what it does not undo", () => {
    expect(notUndone(receipt)).toHaveLength(1);
    expect(notUndone({ ...receipt, drafts_of_erased: 3, drafts_behind: 1 })[0]).toBe(
      "What may repeat it stays: 3 drafts that an erased version wrote and 1 draft that it stood before.",
    );
  });

  it("says what is left to do once it is done", () => {
    expect(done(receipt)).toBe("Deleted.");
    const replay: Receipt["replay"] = { state: "waiting", edits: 2, seconds: 1 };
    expect(done({ ...receipt, erased: [version(3)], stands_in, replay, cleaned: false })).toBe(
      "Deleted. Now version 2 drafts. 2 edits will be learned again without it. " +
        "Some bytes are still in the server's files; it goes on removing them.",
    );
  });

  it("asks for things by their own paths", () => {
    expect(pathOf({ kind: "edit", id: "a/b" })).toBe("/v1/edits/a%2Fb");
    expect(pathOf({ kind: "import", id: "i" })).toBe("/v1/imports/i");
    expect([pathOf({ kind: "texts" }), pathOf({ kind: "model" }), pathOf({ kind: "user" })]).toEqual([
      "/v1/users/me/texts",
      "/v1/users/me/model",
      "/v1/users/me",
    ]);
  });
});
