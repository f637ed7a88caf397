/** The question before a deletion: what it undoes and what not, by a rehearsal on the server. */

import { refreshUser } from "./account";
import { say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { Forgotten, Receipt } from "./apiTypes";
import { cost, done, notUndone, pathOf, titleOf, undone, type Target } from "./deleting";
import { button, el, replaceChildren } from "./elements";

export class DeletionDialog {
  readonly element = el("dialog", { class: "deletion", "aria-labelledby": "deletion-title", "aria-describedby": "deletion-plan" });
  private asked = 0;

  /** `deleted` is told what was deleted, once it is. */
  constructor(private readonly deleted: (receipt: Receipt) => void) {}

  /** A button that asks before it deletes; `named` is what a screen reader says of it. */
  button(target: Target, label: string, named = label): HTMLButtonElement {
    return button(label, () => void this.open(target), { class: "danger", "aria-label": named, "aria-haspopup": "dialog" });
  }

  async open(target: Target): Promise<void> {
    const asked = ++this.asked;
    const plan = el("div", { id: "deletion-plan", "aria-live": "polite" }, el("p", {}, "Looking up what that undoes…"));
    const sure = button("Delete for good", () => void this.delete(target), { class: "danger", disabled: true });
    replaceChildren(
      this.element,
      el("h3", { id: "deletion-title" }, titleOf(target.kind)),
      plan,
      el("div", { class: "buttons" }, button("Keep it", () => this.element.close(), { autofocus: true }), sure),
    );
    this.element.showModal();
    try {
      const { receipt } = await ask<Forgotten>("DELETE", `${pathOf(target)}?dry_run=true`);
      if (asked !== this.asked) return;
      replaceChildren(plan, ...told(receipt));
      sure.disabled = false;
    } catch (error) {
      if (asked === this.asked) replaceChildren(plan, el("p", {}, sayError(error)));
    }
  }

  private async delete(target: Target): Promise<void> {
    this.element.close();
    say("Deleting…");
    try {
      const { receipt } = await ask<Forgotten>("DELETE", pathOf(target));
      if (target.kind === "user") return location.assign("/");
      say(done(receipt));
      await refreshUser();
      this.deleted(receipt);
    } catch (error) {
      warn(sayError(error));
    }
  }
}

function told(receipt: Receipt): HTMLElement[] {
  const list = (lines: string[]): HTMLElement => el("ul", {}, ...lines.map((line) => el("li", {}, line)));
  const gone = undone(receipt);
  return [
    el("h4", {}, "What it undoes"),
    gone.length > 0 ? list(gone) : el("p", {}, "Nothing: there is nothing left of it."),
    el("h4", {}, "What it does not undo"),
    list(notUndone(receipt)),
    el("p", {}, el("strong", {}, cost(receipt))),
  ];
}

