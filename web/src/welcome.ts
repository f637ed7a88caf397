/** The first minutes: texts that were sent before, the first version, before and after. */

import { refreshUser, user } from "./account";
import { say, warn } from "./announcer";
import { sayError } from "./api";
import type { Import, PastTextItem, Session } from "./apiTypes";
import { Asking } from "./asking";
import { consentForm } from "./consentForm";
import { DeletionDialog } from "./deletionDialog";
import { button, el, labelled, replaceChildren } from "./elements";
import { brought } from "./importSummary";
import { follow, startImport } from "./imports";
import { Kept } from "./kept";
import { readFile } from "./pastTexts";
import type { Asked } from "./sheet";
import { TwoDrafts } from "./twoDrafts";
import { count, shortened } from "./wording";

const MOST_TEXTS = 10_000;
const LONGEST_TEXT = 200_000;

export async function welcomePage(main: HTMLElement, session: Session): Promise<void> {
  main.append(new Welcome(session.user.id).element);
}

/** What this browser keeps while the page is used, so that a reload loses nothing. */
interface Begun {
  texts: PastTextItem[];
  prompt: string;
  sent: string;
  importId: string | null;
  /** What the import's prompts stand in; undefined in what was kept before there was a choice. */
  asked?: Omit<Asked, "prompt">;
}

class Welcome {
  readonly element: HTMLElement;
  private readonly kept: Kept<Begun>;
  private readonly begun: Begun;
  private readonly list = el("div", {});
  private readonly prompt = el("textarea", { rows: 4, dir: "auto" });
  private readonly sent = el("textarea", { rows: 4, dir: "auto" });
  private readonly learnButton = button("Learn from these", () => void this.learn(), { class: "primary" });
  private readonly why = el("p", { class: "hint" });
  private readonly progress = el("div", { class: "progress", "aria-live": "polite" });
  private readonly comparison = el("div", {});
  private readonly twoDrafts = new TwoDrafts();
  private readonly asking: Asking;
  private readonly dialog = new DeletionDialog(() => this.forgotten());

  constructor(userId: string) {
    this.kept = new Kept<Begun>(userId, "welcome");
    this.begun = this.kept.get("begun") ?? { texts: [], prompt: "", sent: "", importId: null };
    const calls = { changed: () => {}, done: () => {} };
    this.asking = new Asking(userId, calls, { label: "What was answered is", hasHint: false });
    this.element = this.layOut();
    user.watch(() => this.render());
    if (this.begun.importId !== null) this.followImport(this.begun.importId);
  }

  private layOut(): HTMLElement {
    this.prompt.value = this.begun.prompt;
    this.sent.value = this.begun.sent;
    const typed = (): void => {
      this.begun.prompt = this.prompt.value;
      this.begun.sent = this.sent.value;
      this.keep();
    };
    this.prompt.addEventListener("input", typed);
    this.sent.addEventListener("input", typed);
    return el(
      "div",
      { class: "page" },
      el("h1", {}, "First minutes"),
      el("p", {}, "A model drafts, you fix the draft and send it, and a model of your own learns from the fix. It can learn from texts you sent before, too: it drafts an answer of its own to each, and is shown what you sent instead."),
      el("h2", {}, "1. Texts that you sent before"),
      el("p", {}, "Of 12 or more, some are held out, and what learning brought is measured on them. It may bring nothing."),
      labelled("What you were answering", this.prompt),
      labelled("What you sent", this.sent),
      el("div", { class: "buttons" }, button("Add this text", () => this.add())),
      this.fileField(),
      this.list,
      this.asking.element,
      el("p", { class: "hint" }, "The desk asks for drafts in this way too, so that what is learned here fits what you ask there."),
      el("h2", {}, "2. What may be done with them"),
      consentForm(["store", "learn", "share"]),
      el("h2", {}, "3. Your first version"),
      el("div", { class: "buttons" }, this.learnButton),
      this.why,
      this.progress,
      this.comparison,
      this.twoDrafts.element,
      this.dialog.element,
    );
  }

  private forgotten(): void {
    this.begun.importId = null;
    this.keep();
    replaceChildren(this.progress);
  }

  private fileField(): HTMLElement {
    const input = el("input", {
      type: "file",
      accept: ".jsonl,.gz,.csv",
      on: { change: () => void this.addFile(input) },
    });
    const hint =
      "JSON lines with “prompt” and “sent”, or CSV with columns of these names; a column “draft” where " +
      "there was one, and “hint” and “sign_as” for what a text was to say. Mailboxes are read by the command “corll import”.";
    return labelled("Or a file of them", input, hint);
  }

  private add(): void {
    const [prompt, sent] = [this.prompt.value, this.sent.value];
    if (prompt.trim() === "" || sent.trim() === "") {
      warn("Both are needed: what you were answering, and what you sent.");
      return (prompt.trim() === "" ? this.prompt : this.sent).focus();
    }
    this.take([{ prompt, sent }]);
    this.prompt.value = this.sent.value = this.begun.prompt = this.begun.sent = "";
    this.keep();
    this.prompt.focus();
  }

  private async addFile(input: HTMLInputElement): Promise<void> {
    const [file] = input.files ?? [];
    if (!file) return;
    try {
      this.take(await readFile(file));
    } catch (error) {
      warn(sayError(error));
    }
    input.value = "";
  }

  private take(texts: PastTextItem[]): void {
    const all = [...this.begun.texts, ...texts];
    const long = texts.filter(({ sent, prompt }) => sent.length > LONGEST_TEXT || prompt.length > LONGEST_TEXT);
    if (all.length > MOST_TEXTS) return warn(`At most ${MOST_TEXTS.toLocaleString("en")} texts at a time.`);
    if (long.length > 0) return warn(`A text may have ${LONGEST_TEXT.toLocaleString("en")} characters.`);
    this.begun.texts = all;
    this.keep();
    this.render();
    say(`${count(texts.length, "text")} added.`);
  }

  private keep(): void {
    if (!this.kept.put("begun", this.begun)) {
      warn("This browser has no room to keep all these texts: a reload would lose them.");
    }
  }

  private render(): void {
    const { texts } = this.begun;
    const rows = texts.slice(0, 5).map(({ sent }) => el("li", { dir: "auto" }, shortened(sent, 80)));
    replaceChildren(
      this.list,
      texts.length > 0 && el("p", {}, el("strong", {}, `${count(texts.length, "text")} ready:`)),
      texts.length > 0 && el("ul", {}, ...rows),
      texts.length > 5 && el("p", { class: "hint" }, `and ${texts.length - 5} more`),
      texts.length > 0 && button("Throw these away", () => this.discard(), { class: "quiet" }),
    );
    const consent = user.value?.consent;
    const allowed = Boolean(consent?.store && consent.learn);
    this.learnButton.disabled = texts.length === 0 || !allowed;
    this.why.textContent =
      texts.length === 0
        ? "Add a text first."
        : allowed
          ? ""
          : "Learning needs the first two switches above.";
    this.why.hidden = this.why.textContent === "";
  }

  private discard(): void {
    this.begun.texts = [];
    this.keep();
    this.render();
  }

  private async learn(): Promise<void> {
    this.learnButton.disabled = true;
    try {
      const asked = this.asking.told;
      const started = await startImport(this.begun.texts, asked);
      this.begun.asked = asked;
      this.begun.importId = started.id;
      this.keep();
      this.followImport(started.id);
    } catch (error) {
      warn(sayError(error));
    }
    this.render();
  }

  private followImport(id: string): void {
    follow(id, (now) => {
      if (now === null) return replaceChildren(this.progress);
      this.showProgress(now);
      if (now.state !== "done") return;
      refreshUser().catch(() => {});
      this.offerComparison();
    });
  }

  private showProgress(now: Import): void {
    if (now.state === "failed") {
      const why = now.error ?? "the server does not say why";
      return replaceChildren(this.progress, el("p", {}, `It failed: ${why}.`), this.forgetting(now));
    }
    if (now.state === "done") {
      const lines = brought(now).map((line) => el("p", {}, line));
      return replaceChildren(this.progress, ...lines, this.forgetting(now));
    }
    const bar = el("progress", { max: now.total, value: now.used, "aria-label": "Texts learned from" });
    const said =
      now.state === "waiting" ? "Waiting for the learner…" : `Learning: ${now.used} of ${now.total} texts.`;
    replaceChildren(this.progress, bar, el("p", {}, said));
  }

  private forgetting({ id }: Import): HTMLElement {
    return this.dialog.button({ kind: "import", id }, "Let the server forget these texts…");
  }

  /** The same prompt before and after. */
  private offerComparison(): void {
    const texts = this.begun.texts.filter(({ prompt }) => typeof prompt === "string");
    const options = texts.map(({ prompt }, index) =>
      el("option", { value: index }, shortened(prompt as string, 70)),
    );
    if (options.length === 0) return;
    const choice = el("select", {}, ...options);
    const compare = (): void => {
      const chosen = texts[Number(choice.value)]!;
      const drafters: [{ name: string; model: string }, { name: string; model: string }] = [
        { name: "Before: the base model", model: "base" },
        { name: "After: your version", model: "corll" },
      ];
      const { hint, sign_as: signAs } = chosen;
      const told = { ...this.begun.asked, ...(hint ? { hint } : {}), ...(signAs == null ? {} : { signAs }) };
      void this.twoDrafts.show({ prompt: chosen.prompt as string, ...told }, drafters, chosen.sent);
    };
    replaceChildren(
      this.comparison,
      el("h2", {}, "Before and after"),
      labelled("Draft an answer to", choice, "The figures above are from texts it never saw; these here it may have learned from."),
      el("div", { class: "buttons" }, button("Draft both", compare, { class: "primary" }), el("a", { href: "/" }, "To the desk")),
    );
  }
}
