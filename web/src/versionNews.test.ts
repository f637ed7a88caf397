import { expect, test } from "vitest";

import { versionNews } from "./versionNews";

test("who drafts next is told by the state that a version came to", () => {
  expect(versionNews(3, "serving", "10:00")).toContain("Version 3 took over at 10:00");
  expect(versionNews(4, "rejected", "10:00")).toContain("Version 4 failed its checks");
  const retired = versionNews(2, "retired", "10:00");
  expect(retired).toContain("Version 2 was taken back at 10:00");
  expect(retired).toContain("what it started from drafts again");
});
