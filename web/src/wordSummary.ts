/** What an edit changed, in a few words; and texts with their changes marked. */

import { diffWordsWithSpace, type ChangeObject } from "diff";

import { el } from "./elements";
import { count } from "./wording";

/** Beyond these the texts have little in common, and counting would be felt while typing. */
const MOST_DIFFERENCES = 1500;
const LONGEST_MS = 40;

const WORD = /[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*/gu;

export function countWords(text: string): number {
  return text.match(WORD)?.length ?? 0;
}

export function summary(draft: string, text: string): string {
  if (draft === text) return "Nothing changed so far: copied like this, it accepts the draft.";
  const parts = wordDiff(draft, text);
  if (parts === null) return "Most words changed.";
  let changed = 0;
  let added = 0;
  let removed = 0;
  for (const [index, part] of parts.entries()) {
    if (part.removed) {
      const next = parts[index + 1];
      const gone = countWords(part.value);
      const come = next?.added ? countWords(next.value) : 0;
      changed += Math.min(gone, come);
      removed += Math.max(0, gone - come);
      added += Math.max(0, come - gone);
    } else if (part.added && !parts[index - 1]?.removed) {
      added += countWords(part.value);
    }
  }
  if (changed + added + removed === 0) return "Only spaces, marks or line ends changed.";
  const said = [
    changed > 0 && `${count(changed, "word")} changed`,
    added > 0 && `${count(added, "word")} added`,
    removed > 0 && `${count(removed, "word")} taken out`,
  ];
  return `${said.filter(Boolean).join(", ")}.`;
}

/** The text with what was taken out and put in marked; as it is where too much differs. */
export function marked(draft: string, text: string): HTMLElement {
  const parts = wordDiff(draft, text);
  if (parts === null) return el("p", { class: "text", dir: "auto" }, text);
  const spans = parts.map((part) => {
    if (part.removed) return el("del", {}, part.value);
    return part.added ? el("ins", {}, part.value) : part.value;
  });
  return el("p", { class: "text", dir: "auto" }, ...spans);
}

function wordDiff(draft: string, text: string): ChangeObject<string>[] | null {
  const limits = { maxEditLength: MOST_DIFFERENCES, timeout: LONGEST_MS };
  return diffWordsWithSpace(draft, text, limits) ?? null;
}
