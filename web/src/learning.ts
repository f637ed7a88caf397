/** What learning brought: curves with bands, versions on a time line, drafts side by side. */

import { refreshUser, user } from "./account";
import { warn } from "./announcer";
import { ask, sayError } from "./api";
import type { AnsweredDraft, CostFigure, Drafts, Interval, Learning, LearningReport, Session, Version } from "./apiTypes";
import { trialLines } from "./arms";
import { Asking } from "./asking";
import { Chart } from "./charts";
import { DeletionDialog } from "./deletionDialog";
import { button, el, labelled, replaceChildren } from "./elements";
import { onEvent, onMissed } from "./events";
import { untilNext } from "./quietLine";
import { askedFor } from "./records";
import { rollingMean, rollingShare, type Band } from "./rolling";
import { TwoDrafts, type Drafter } from "./twoDrafts";
import { fetchVersions, TimeLine } from "./versions";
import { count, percent } from "./wording";

const SMALLEST_WINDOW = 5;
const LARGEST_WINDOW = 20;
const REFRESH_AFTER_MS = 400;

export async function learningPage(main: HTMLElement, session: Session): Promise<void> {
  const page = new LearningPage(session.user);
  main.append(page.element);
  await page.refresh();
}

class LearningPage {
  readonly element = el("div", { class: "page" });
  private readonly figures = el("div", { class: "figures" });
  private readonly next = el("p", { class: "hint" });
  private readonly costs = new Chart();
  private readonly shares = new Chart();
  private readonly margins = new Chart();
  private readonly charts = el("div", { class: "charts" }, this.costs.element, this.shares.element, this.margins.element);
  private readonly timeLine = new TimeLine(() => void this.refresh());
  private readonly comparing: Comparing;
  private readonly dialog = new DeletionDialog(() => void this.refresh());
  private refreshTimer: number | undefined;

  constructor(who: Session["user"]) {
    this.comparing = new Comparing(who);
    this.element.append(
      el("h1", {}, "Learning"),
      this.figures,
      this.next,
      el("div", { class: "buttons" }, button("Learn from what waits, now", () => void this.learnNow())),
      this.charts,
      el("p", { class: "hint" }, "Dots are single drafts, the line is their mean, the band its 95 % interval; v1, v2 … say where a version drafted first."),
      el("h2", {}, "Versions"),
      this.timeLine.element,
      el("p", {}, this.dialog.button({ kind: "model" }, "Delete my model…"), el("span", { class: "hint" }, " Your texts stay. Single texts are deleted under “Your data”, and what was learned from them with them.")),
      this.dialog.element,
      el("h2", {}, "Two versions, the same prompt"),
      this.comparing.element,
    );
    user.watch((about) => {
      this.next.textContent = about === null ? "" : untilNext(about);
    });
    // A simulated writer edits many times a second; the page need not follow each.
    const soon = (): void => {
      window.clearTimeout(this.refreshTimer);
      this.refreshTimer = window.setTimeout(() => void this.refresh(), REFRESH_AFTER_MS);
    };
    onEvent("edit", soon);
    onEvent("version", soon);
    onEvent("start", soon);
    onMissed(soon);
  }

  async refresh(): Promise<void> {
    try {
      const learning = ask<LearningReport>("GET", "/v1/users/me/learning");
      const [learned, versions] = await Promise.all([learning, fetchVersions(), refreshUser()]);
      this.show(learned, versions);
    } catch (error) {
      warn(sayError(error));
    }
  }

  private show(learned: LearningReport, versions: Version[]): void {
    const { answers } = learned;
    this.timeLine.show(versions);
    this.comparing.offer(versions);
    replaceChildren(this.figures, ...figures(learned).map((line) => el("p", {}, line)));
    this.costs.element.hidden = this.shares.element.hidden = answers.length === 0;
    const measured = versions.filter(({ metrics }) => metrics["rewards/margins"] !== undefined);
    this.margins.element.hidden = measured.length === 0;
    if (answers.length > 0) this.showAnswers(answers);
    if (measured.length > 0) this.showMargins(measured);
  }

  private showAnswers(answers: AnsweredDraft[]): void {
    const window = windowFor(answers.length);
    const x = answers.map((_, index) => index + 1);
    const marks = takeovers(answers);
    const over = window === 1 ? "" : `, mean of the last ${window}`;
    const costs = answers.map(({ edit_cost }) => edit_cost);
    const cost = rollingMean(costs, window);
    this.costs.show({
      title: `Edit cost of each draft${over}`,
      says: fromTo(cost),
      x,
      xName: "drafts answered",
      yName: "edit cost",
      band: cost,
      points: costs,
      marks,
    });
    const share = rollingShare(answers.map(({ accepted }) => accepted), window);
    this.shares.show({
      title: `Share of drafts sent as they were${over}`,
      says: fromTo(share),
      x,
      xName: "drafts answered",
      yName: "accepted",
      band: share,
      points: answers.map(({ accepted }) => Number(accepted)),
      most: 1,
      marks,
    });
  }

  private showMargins(versions: Version[]): void {
    const mean = versions.map(({ metrics }) => metrics["rewards/margins"]!);
    const band = { mean, low: mean, high: mean };
    this.margins.show({
      title: "Margin of each version: how much more it prefers your edits to its drafts",
      says: fromTo(band),
      x: versions.map(({ number }) => number),
      xName: "version",
      yName: "nats",
      band,
    });
  }

  private async learnNow(): Promise<void> {
    try {
      const { queued, waiting } = await ask<Learning>("POST", "/v1/learn", {});
      this.next.textContent = queued
        ? `Learning from ${count(waiting, "edit")} now.`
        : waiting === 0
          ? "No edits wait."
          : "The learner is off.";
    } catch (error) {
      warn(sayError(error));
    }
  }
}

function windowFor(answers: number): number {
  return Math.min(LARGEST_WINDOW, Math.max(SMALLEST_WINDOW, Math.floor(answers / 5)));
}

/** Where a version drafted for the first time. */
function takeovers(answers: AnsweredDraft[]): { at: number; name: string }[] {
  const seen = new Set<number>();
  const marks: { at: number; name: string }[] = [];
  for (const [index, { version_number }] of answers.entries()) {
    if (version_number === null || seen.has(version_number)) continue;
    seen.add(version_number);
    marks.push({ at: index + 1, name: `v${version_number}` });
  }
  return marks;
}

function fromTo({ mean }: Band): string {
  return `From ${mean[0]!.toFixed(2)} at first to ${mean.at(-1)!.toFixed(2)} now.`;
}

function figures({ answers, edit_cost, edit_cost_learned, edit_cost_held_back, benefit, arms }: LearningReport): string[] {
  if (answers.length === 0 || edit_cost === null) {
    return ["Nothing to show yet: draft and send a few texts on the desk."];
  }
  const lines = [`${count(answers.length, "draft")} answered, ${percent(edit_cost.accepted)} sent as they were. Edit cost ${figure(edit_cost)}.`];
  if (edit_cost_learned) lines.push(`Drafts of your versions: ${figure(edit_cost_learned)}.`);
  if (edit_cost_held_back) lines.push(`Drafts held back, by the base model: ${figure(edit_cost_held_back)}.`);
  if (benefit) lines.push(`Where chance decided who drafts, unseen, your versions changed the edit cost by ${signed(benefit.difference)}.`);
  return [...lines, ...trialLines(arms)];
}

function figure({ mean, low, high, count: number }: CostFigure): string {
  return `${mean.toFixed(2)} (95 %: ${low.toFixed(2)} to ${high.toFixed(2)}; ${count(number, "draft")})`;
}

function signed({ mean, low, high }: Interval): string {
  const [at, from, to] = [mean, low, high].map((value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`);
  return `${at} (95 %: ${from} to ${to})`;
}

/** Two versions of the user's choice, on prompts of theirs. */
class Comparing {
  readonly element = el("div", {});
  private readonly first = el("select", {});
  private readonly second = el("select", {});
  private readonly prompt = el("textarea", { rows: 3, dir: "auto" });
  private readonly asking: Asking;
  private readonly twoDrafts = new TwoDrafts();
  private offered = "";
  private readonly userName: string;

  constructor({ id, name }: Session["user"]) {
    this.userName = name;
    const calls = { changed: () => {}, done: () => this.compare() };
    this.asking = new Asking(id, calls, { remembers: false });
    this.element.append(
      el("div", { class: "choices" }, labelled("One", this.first), labelled("Other", this.second)),
      labelled("Prompt", this.prompt),
      this.asking.element,
      el("div", { class: "buttons" }, button("Draft both", () => this.compare())),
      this.twoDrafts.element,
    );
    void this.suggestPrompt();
  }

  offer(versions: Version[]): void {
    const kept = versions.filter(({ state, kept }) => kept && (state === "serving" || state === "retired"));
    const drafters: Drafter[] = [
      { name: "Base model", model: "base" },
      ...kept.map(({ number }) => ({ name: `Version ${number}`, model: `${this.userName}@${number}` })),
    ];
    const now = JSON.stringify(drafters);
    if (now === this.offered) return;
    this.offered = now;
    const chosen = [this.first.value || "base", this.second.value];
    for (const [index, select] of [this.first, this.second].entries()) {
      replaceChildren(select, ...drafters.map(({ name, model }) => el("option", { value: model }, name)));
      const wanted = chosen[index] || drafters.at(-1)!.model;
      select.value = drafters.some(({ model }) => model === wanted) ? wanted : "base";
    }
  }

  /** The latest prompt, to be asked for as it was then. */
  private async suggestPrompt(): Promise<void> {
    try {
      const { data } = await ask<Drafts>("GET", "/v1/users/me/drafts?limit=1");
      const [latest] = data;
      if (this.prompt.value !== "" || latest === undefined) return;
      const { prompt, frame, hint, signAs, template } = askedFor(latest);
      this.prompt.value = prompt;
      this.asking.fill({ frame, hint, signAs, template });
    } catch {
      // It is a suggestion only; what is wrong is said where it matters.
    }
  }

  private compare(): void {
    const prompt = this.prompt.value;
    if (prompt.trim() === "") return this.prompt.focus();
    const [one, other] = [this.first, this.second].map((select) => ({
      name: select.selectedOptions[0]?.textContent ?? "",
      model: select.value,
    }));
    void this.twoDrafts.show({ prompt, ...this.asking.told }, [one!, other!]);
  }
}
