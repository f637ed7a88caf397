/** The user's versions on a time line, and the way back to an earlier one. */

import { refreshUser, user } from "./account";
import { say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { OwnReference, ReferenceStart, Version, Versions } from "./apiTypes";
import { button, el, replaceChildren } from "./elements";
import { adapterOf, startingPoint, startState } from "./startNews";
import { count, day } from "./wording";

export async function fetchVersions(): Promise<Version[]> {
  return (await ask<Versions>("GET", "/v1/users/me/adapters")).data;
}

const STATES: Record<Version["state"], string> = {
  candidate: "being checked",
  serving: "drafts now",
  retired: "drafted earlier",
  rejected: "failed its checks",
};

export class TimeLine {
  readonly element = el("div", {});
  private readonly dialog = el("dialog", { "aria-labelledby": "rollback-title" });

  constructor(private readonly changed: () => void) {}

  show(versions: Version[]): void {
    const serving = user.value?.serving ?? null;
    const reference = user.value?.reference ?? null;
    const start = user.value?.start ?? null;
    if (versions.length === 0 && start === null && adapterOf(reference) === null) {
      return replaceChildren(this.element, el("p", {}, "No version yet: the base model drafts."));
    }
    const items = [...versions].reverse().map((version) => this.item(version));
    const first = start === null ? [] : [this.start(start)];
    const all = [...first, ...items, this.reference(reference, serving)];
    replaceChildren(this.element, el("ol", { class: "time-line" }, ...all), this.dialog);
  }

  private start({ reference, state, reasons, asked_at }: ReferenceStart): HTMLElement {
    return el(
      "li",
      { class: state === "rejected" ? "rejected" : "candidate" },
      el("strong", {}, reference.name),
      el("span", { class: "state" }, startState(state)),
      el("time", { datetime: new Date(asked_at * 1000).toISOString() }, day(asked_at)),
      reasons.length > 0 && el("p", {}, reasons.join(" ")),
    );
  }

  private item(version: Version): HTMLElement {
    const { number, state, steps } = version;
    const margin = version.metrics["rewards/margins"];
    const facts = [count(steps, "step"), margin !== undefined && `margin ${margin.toFixed(2)} nats`];
    const why = version.reasons.length > 0 && el("p", {}, version.reasons.join(" "));
    const mayServe = state === "retired" && version.kept;
    return el(
      "li",
      { class: state },
      el("strong", {}, `Version ${number}`),
      el("span", { class: "state" }, STATES[state]),
      el("time", { datetime: new Date(version.created_at * 1000).toISOString() }, day(version.created_at)),
      el("span", { class: "hint" }, facts.filter(Boolean).join(", ")),
      why,
      !version.kept && el("span", { class: "hint" }, "weights removed"),
      mayServe && this.backTo(number, `Go back to version ${number}`),
    );
  }

  private reference(reference: OwnReference | null, serving: number | null): HTMLElement {
    const { name, unexamined } = startingPoint(reference);
    const label = `Go back to ${adapterOf(reference)?.name ?? "the base model"}`;
    return el(
      "li",
      { class: serving === null ? "serving" : "retired" },
      el("strong", {}, name),
      el("span", { class: "state" }, serving === null ? "drafts now" : "nothing learned"),
      unexamined && el("span", { class: "hint" }, "not examined before it served"),
      serving !== null && this.backTo(0, label),
    );
  }

  private backTo(number: number, label: string): HTMLElement {
    return button(label, () => this.confirm(number, label));
  }

  private confirm(number: number, label: string): void {
    const again = el("input", { type: "checkbox", id: "rollback-requeue" });
    const goBack = (): void => {
      this.dialog.close();
      void this.rollBack(number, again.checked);
    };
    replaceChildren(
      this.dialog,
      el("h3", { id: "rollback-title" }, `${label}?`),
      el("p", {}, "Nothing is deleted, and you can come back. Edits that only later versions learned from are set aside."),
      el("p", {}, again, el("label", { for: again.id }, " Let them wait to be learned from again")),
      el("div", { class: "buttons" }, button("Go back", goBack, { class: "primary" }), button("Leave it", () => this.dialog.close())),
    );
    this.dialog.showModal();
  }

  private async rollBack(to: number, requeue: boolean): Promise<void> {
    try {
      await ask("POST", "/v1/users/me/adapters/rollback", { to, requeue });
      await refreshUser();
      const first = adapterOf(user.value?.reference)?.name ?? "The base model";
      say(`${to === 0 ? first : `Version ${to}`} drafts now.`);
      this.changed();
    } catch (error) {
      warn(sayError(error));
    }
  }
}
