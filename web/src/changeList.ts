/** The changes of an edit, each of which can be taken back. */

import type { TextChange } from "./changeMarks";
import type { DraftEditor } from "./editor";
import { button, el, replaceChildren } from "./elements";
import { shortened } from "./wording";

const MOST_LISTED = 30;
const LONGEST = 60;

export class ChangeList {
  readonly element = el("div", { class: "changes" });
  private shown = "";

  constructor(private readonly editor: DraftEditor) {}

  clear(): void {
    this.shown = "";
    replaceChildren(this.element);
  }

  refresh(): void {
    const changes = this.editor.changes(MOST_LISTED + 1);
    const now = JSON.stringify(changes);
    if (now === this.shown) return;
    const focused = this.focusedIndex();
    this.shown = now;
    if (changes.length === 0) return this.clear();
    const items = changes.slice(0, MOST_LISTED).map((change) => this.item(change));
    replaceChildren(
      this.element,
      el("h3", { id: "changes-label" }, "Changes"),
      button("Take back all", () => this.act(() => this.editor.takeBackAll())),
      el("ol", { "aria-labelledby": "changes-label" }, ...items),
      changes.length > MOST_LISTED && el("p", { class: "hint" }, "Further changes are marked in the text."),
    );
    if (focused >= 0) this.focusNear(focused);
  }

  private item(change: TextChange): HTMLElement {
    const before = shortened(change.before, LONGEST);
    const after = shortened(change.after, LONGEST);
    const what = [
      change.before !== "" && `“${before || "space"}” taken out`,
      change.after !== "" && `“${after || "space"}” put in`,
    ];
    return el(
      "li",
      {},
      change.before !== "" && el("del", { dir: "auto" }, before || "␣"),
      change.before !== "" && change.after !== "" && " → ",
      change.after !== "" && el("ins", { dir: "auto" }, after || "␣"),
      button("Show", () => this.editor.goTo(change), {
        class: "quiet",
        "aria-label": `Show in the text: ${what.filter(Boolean).join(", ")}`,
      }),
      button("Take back", () => this.act(() => this.editor.takeBack(change)), {
        class: "quiet",
        "aria-label": `Take back: ${what.filter(Boolean).join(", ")}`,
      }),
    );
  }

  private act(change: () => void): void {
    change();
    this.refresh();
  }

  private focusedIndex(): number {
    return this.buttons().indexOf(document.activeElement as HTMLButtonElement);
  }

  /** The list was made anew: whoever went through it by keyboard goes on where they were. */
  private focusNear(index: number): void {
    const buttons = this.buttons();
    buttons[Math.min(index, buttons.length - 1)]?.focus();
  }

  private buttons(): HTMLButtonElement[] {
    return [...this.element.querySelectorAll("button")];
  }
}
