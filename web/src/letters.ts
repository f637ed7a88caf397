/** Letters that may stand before the next request: to see, to pin, to skip, and to forget. */

import { say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { Memory, RememberedText } from "./apiTypes";
import { button, el, replaceChildren } from "./elements";
import type { Frame } from "./sheet";
import { shortened } from "./wording";

const KINDS: Record<Frame, string> = {
  reply: "Replies to a message",
  write: "Texts from a description",
  none: "Asked for without a frame",
};
const AT_MOST = 20;
const LONGEST = 90;

type Mark = RememberedText["mark"];

export class Letters {
  readonly element = el("div", {});

  async load(): Promise<void> {
    try {
      const kinds = Object.keys(KINDS) as Frame[];
      const found = await Promise.all(kinds.map(lettersOf));
      this.render(kinds.map((kind, at) => [kind, found[at]!]));
    } catch (error) {
      replaceChildren(this.element, el("p", { class: "hint" }, sayError(error)));
    }
  }

  private render(kinds: [Frame, Memory][]): void {
    const some = kinds.filter(([, letters]) => letters.data.length > 0);
    if (some.length === 0) {
      replaceChildren(this.element, el("p", {}, "None yet. A text that you copied from the desk may stand before your next requests of its kind."));
      return;
    }
    const remembers = some.every(([, letters]) => letters.remembers);
    const off = el("p", {}, "None of them does while you don't agree that your texts are kept and learned from.");
    const lists = some.flatMap(([kind, letters]) => [
      el("h3", {}, KINDS[kind]),
      el("ul", { class: "kept" }, ...letters.data.map((letter) => this.item(letter))),
      ...(letters.has_more ? [el("p", { class: "hint" }, "Older ones are not shown.")] : []),
    ]);
    const forget = button("Forget all until now", () => void this.forget());
    replaceChildren(this.element, ...(remembers ? [] : [off]), ...lists, el("p", {}, forget));
  }

  private item(letter: RememberedText): HTMLElement {
    const choose = (mark: Mark, label: string): HTMLElement => {
      return button(label, () => void this.mark(letter, mark));
    };
    const choices =
      letter.mark === null
        ? [choose("pinned", "Always"), choose("skipped", "Never")]
        : [choose(null, letter.mark === "pinned" ? "Always: undo" : "Never: undo")];
    return el("li", {}, el("span", { dir: "auto" }, shortened(letter.text, LONGEST)), " ", ...choices);
  }

  private mark(letter: RememberedText, mark: Mark): Promise<void> {
    const path = `/v1/users/me/memory/${encodeURIComponent(letter.id)}`;
    return this.change(ask("PUT", path, { mark }), said(mark));
  }

  private forget(): Promise<void> {
    const forgotten = "From the next draft on none of these letters stands before a request.";
    return this.change(ask("DELETE", "/v1/users/me/memory"), forgotten);
  }

  private async change(asked: Promise<unknown>, done: string): Promise<void> {
    try {
      await asked;
      say(done);
      await this.load();
    } catch (error) {
      warn(sayError(error));
    }
  }
}

function lettersOf(frame: Frame): Promise<Memory> {
  const query = new URLSearchParams({ frame, limit: String(AT_MOST) });
  return ask<Memory>("GET", `/v1/users/me/memory?${query}`);
}

function said(mark: Mark): string {
  if (mark === "pinned") return "It stands before every request of its kind.";
  return mark === "skipped" ? "It stands before no request." : "It is chosen as others are.";
}
