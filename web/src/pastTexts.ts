/** Past texts out of the files people have: JSON lines and CSV, as `corll import` reads them. */

import type { PastTextItem } from "./apiTypes";

const OPTIONAL = ["draft", "hint", "sign_as"];

/** What is wrong with a file, and where. */
export class UnreadableFile extends Error {}

export async function readFile(file: File): Promise<PastTextItem[]> {
  const name = file.name.toLowerCase();
  if (name.endsWith(".jsonl.gz")) return fromJsonLines(await unpacked(file));
  if (name.endsWith(".jsonl")) return fromJsonLines(await file.text());
  if (name.endsWith(".csv")) return fromCsv(await file.text());
  throw new UnreadableFile(
    "Files end in .jsonl, .jsonl.gz or .csv. A mailbox (mbox) is read by `corll import`.",
  );
}

async function unpacked(file: File): Promise<string> {
  const stream = file.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text().catch(() => {
    throw new UnreadableFile("The file is not gzip, though its name says so.");
  });
}

export function fromJsonLines(text: string): PastTextItem[] {
  const lines = text.split(/\r?\n/).map((line, index) => ({ line, number: index + 1 }));
  const found = lines
    .filter(({ line }) => line.trim() !== "")
    .map(({ line, number }) => checked(parsedLine(line, number), number));
  return notNone(found);
}

function parsedLine(line: string, number: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Said below, as of any other line that is no object.
  }
  throw new UnreadableFile(`Line ${number} is no JSON object.`);
}

export function fromCsv(text: string): PastTextItem[] {
  const plain = text.replace(/^\uFEFF/, "");
  const rows = cells(plain, delimiterOf(plain));
  const header = (rows.shift() ?? []).map((name) => name.trim().toLowerCase());
  const cell = (row: string[], name: string): string | undefined => row[header.indexOf(name)];
  if (!header.includes("prompt") || !header.includes("sent")) {
    throw new UnreadableFile("The first row must name the columns “prompt” and “sent”.");
  }
  const found = rows
    .filter((row) => row.some((cell) => cell.trim() !== ""))
    .map((row, index) => {
      if (row.length !== header.length) {
        throw new UnreadableFile(`Row ${index + 2} has ${row.length} cells, the header ${header.length}.`);
      }
      const optional = OPTIONAL.map((name) => [name, cell(row, name) || null]);
      return checked({ prompt: cell(row, "prompt"), sent: cell(row, "sent"), ...Object.fromEntries(optional) }, index + 2);
    });
  return notNone(found);
}

function checked(fields: Record<string, unknown>, number: number): PastTextItem {
  const { prompt, sent } = fields;
  if (!isPrompt(prompt)) throw new UnreadableFile(`Line ${number}: “prompt” is missing or empty.`);
  if (typeof sent !== "string" || sent.trim() === "") {
    throw new UnreadableFile(`Line ${number}: “sent” is missing or empty.`);
  }
  const given = OPTIONAL.filter((name) => typeof fields[name] === "string");
  return { prompt, sent, ...Object.fromEntries(given.map((name) => [name, fields[name]])) };
}

function isPrompt(prompt: unknown): prompt is PastTextItem["prompt"] {
  if (typeof prompt === "string") return prompt.trim() !== "";
  return Array.isArray(prompt) && prompt.length > 0;
}

function notNone(found: PastTextItem[]): PastTextItem[] {
  if (found.length === 0) throw new UnreadableFile("The file holds no texts.");
  return found;
}

/** What stands between the names of the header: spreadsheets do not agree on it. */
function delimiterOf(text: string): string {
  const first = text.split(/\r?\n/).find((line) => line.trim() !== "") ?? "";
  const splits = [",", ";", "\t"].map((mark) => ({ mark, parts: first.split(mark).length }));
  return splits.reduce((best, next) => (next.parts > best.parts ? next : best)).mark;
}

function cells(text: string, delimiter: string): string[][] {
  const rows: string[][] = [[]];
  let cell = "";
  let quoted = false;
  const endCell = (): void => {
    rows.at(-1)!.push(cell);
    cell = "";
  };
  for (let at = 0; at < text.length; at++) {
    const mark = text[at]!;
    if (quoted) {
      if (mark !== '"') cell += mark;
      else if (text[at + 1] === '"') cell += text[++at];
      else quoted = false;
    } else if (mark === '"' && cell === "") quoted = true;
    else if (mark === delimiter) endCell();
    else if (mark === "\n") {
      endCell();
      rows.push([]);
    } else if (mark !== "\r") cell += mark;
  }
  if (quoted) throw new UnreadableFile("A text in quotes does not end.");
  endCell();
  return rows.filter((row) => row.some((one) => one !== ""));
}
