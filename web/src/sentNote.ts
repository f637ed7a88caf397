/** What became of the text that was copied last. It stays until the next one, with Undo and Copy. */

import { ask } from "./api";
import type { Edit } from "./apiTypes";
import { copy } from "./clipboard";
import { button, el } from "./elements";
import type { Sheet } from "./sheet";
import type { Taken, Unsent } from "./unsent";

/** A text that was copied, the sheet it stood on, and what was said of it to the server. */
export interface Sent {
  sheet: Sheet;
  text: string;
  /** Under which keys the server gets to know of it. */
  keys: Set<string>;
  edits: string[];
  importId: string | null;
  undone: boolean;
}

export function sentOf(sheet: Sheet, text: string, letters: Unsent[], importId: string | null = null): Sent {
  const keys = new Set(letters.map(({ body }) => body.idempotency_key));
  return { sheet, text, keys, edits: [], importId, undone: false };
}

export class SentNote {
  readonly element = el("div", { class: "sent-note", role: "group", "aria-label": "What was copied last" });
  private readonly line = el("p", {});
  private text = "";

  constructor(calls: { undo: () => void; copied: (done: boolean) => void }) {
    const again = (): void => void copy(this.text).then(calls.copied);
    const buttons = [button("Undo", calls.undo), button("Copy again", again)];
    this.element.append(this.line, el("div", { class: "buttons" }, ...buttons));
    this.hide();
  }

  show(text: string, said: string): void {
    this.text = text;
    this.tell(said);
    this.element.hidden = false;
  }

  tell(said: string): void {
    this.line.textContent = said;
  }

  hide(): void {
    this.element.hidden = true;
  }
}

/** Takes back what the server has of a text. Says what stays, since a version learned from it. */
export async function takeBack({ edits, importId }: Sent): Promise<"all" | "learned"> {
  let left = false;
  for (const id of edits) left = !(await takeEditBack(id)) || left;
  if (importId !== null) await ask("DELETE", `/v1/imports/${encodeURIComponent(importId)}`);
  return left ? "learned" : "all";
}

/** Deletes an edit, unless a version learned from it: then that takes a deletion with its preview. */
export async function takeEditBack(id: string): Promise<boolean> {
  const path = `/v1/edits/${encodeURIComponent(id)}`;
  const edit = await ask<Edit>("GET", path);
  if (edit.version !== null) return false;
  await ask("DELETE", path);
  return true;
}

export function isEdit(answer: Taken | null): answer is Edit {
  return answer?.object === "edit";
}
