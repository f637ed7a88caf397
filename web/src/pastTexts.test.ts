import { expect, test } from "vitest";

import { fromCsv, fromJsonLines } from "./pastTexts";

test("JSON lines give their texts, and say where they fail", () => {
  const line = '{"prompt": [{"role": "user", "content": "a"}], "sent": "b", "draft": "c", "more": 1}';
  expect(fromJsonLines(`${line}\n\n{"prompt": "a", "sent": "b", "draft": null}`)).toEqual([
    { prompt: [{ role: "user", content: "a" }], sent: "b", draft: "c" },
    { prompt: "a", sent: "b" },
  ]);
  expect(() => fromJsonLines("{}\n")).toThrow("Line 1: “prompt” is missing");
  expect(() => fromJsonLines("\n[1]")).toThrow("Line 2 is no JSON object.");
  expect(() => fromJsonLines("\n")).toThrow("no texts");
});

test.each([",", ";", "\t"])("CSV is read as spreadsheets write it, with %j", (mark) => {
  const rows = [
    ["draft", "Sent ", "prompt"].join(mark),
    ["", '"two\nlines, ""quoted""; and\ta tab"', "a"].join(mark),
    ["c", "b", "d"].join(mark),
    "",
  ];
  expect(fromCsv(`\uFEFF${rows.join("\r\n")}`)).toEqual([
    { prompt: "a", sent: 'two\nlines, "quoted"; and\ta tab' },
    { prompt: "d", sent: "b", draft: "c" },
  ]);
});

test("what a frame says beside a prompt is read, and an empty cell says nothing", () => {
  const told = [
    { prompt: "a", sent: "b", hint: "yes" },
    { prompt: "a", sent: "b", sign_as: "Bo" },
  ];
  expect(fromCsv("prompt,Hint,sent,sign_as\na,yes,b,\na,,b,Bo")).toEqual(told);
  expect(fromJsonLines(told.map((text) => JSON.stringify({ draft: null, ...text })).join("\n"))).toEqual(told);
});

test("CSV that is none is refused", () => {
  expect(() => fromCsv("a,b\n1,2")).toThrow("columns");
  expect(() => fromCsv("prompt,sent\n1")).toThrow("Row 2 has 1 cells");
  expect(() => fromCsv('prompt,sent\n1,"2')).toThrow("does not end");
});
