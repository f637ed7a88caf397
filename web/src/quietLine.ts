/** The quiet line: who drafted, how far the next step is, what took over. */

import { user } from "./account";
import type { UserAndLearner } from "./apiTypes";
import { say } from "./announcer";
import { el, replaceChildren } from "./elements";
import { onEvent } from "./events";
import { leakNote } from "./leakNote";
import type { SheetDraft } from "./sheet";
import { startNews, whoDrafts } from "./startNews";
import { versionNews } from "./versionNews";
import { clock, count } from "./wording";

export class QuietLine {
  readonly element = el("p", { class: "quiet-line" });
  private draft: SheetDraft | undefined;
  private news = "";

  constructor() {
    user.watch(() => this.render());
    onEvent("version", ({ number, state }) => this.tell(versionNews(number, state, clock())));
    onEvent("start", ({ name, state }) => this.tell(startNews(name, state, clock())));
  }

  private tell(news: string): void {
    if (news === "") return;
    this.news = news;
    say(news);
    this.render();
  }

  show(draft: SheetDraft | undefined): void {
    this.draft = draft;
    this.render();
  }

  private render(): void {
    const parts = [
      this.draft && !this.draft.own && drafter(this.draft),
      this.draft && leakNote(this.draft),
      user.value && untilNext(user.value),
      this.news,
    ];
    const said = parts.filter((part): part is string => Boolean(part));
    replaceChildren(this.element, ...said.map((part) => el("span", {}, part)));
  }
}

function drafter(draft: SheetDraft): string {
  if (draft.state === "coming") return "Drafting…";
  if (draft.version === undefined) {
    return draft.state === "whole"
      ? "Who drafted is not told, so that you judge without knowing."
      : "The draft broke off.";
  }
  const after = draft.letters ? ` after ${count(draft.letters, "letter")} of yours` : "";
  return `Drafted by ${whoDrafts(draft.version, user.value?.reference)}${after}.${howItEnded(draft)}`;
}

function howItEnded(draft: SheetDraft): string {
  if (draft.looped) return " It repeated itself, so it was stopped.";
  return draft.cut ? " It was cut at the longest length." : "";
}

export function untilNext(about: UserAndLearner): string {
  if (!about.consent.store) return "Your texts are not kept, so nothing is learned.";
  if (!about.consent.learn) return "Learning is switched off.";
  if (about.learner === "off") return "This server does not learn just now.";
  if (about.learner === "down") return "The learner is being started again; your edits wait for it.";
  const left = about.preferences_per_step - about.waiting;
  if (left > 0) return `${count(left, "edit")} until the next step.`;
  return "Learning now; a new version drafts once it passed its checks.";
}
