/** The desk: what is answered on one side, the draft that becomes your text on the other. */

import { refreshUser, user } from "./account";
import { say, warn } from "./announcer";
import { isAbort, Refused, sayError, SignedOut, Unreachable } from "./api";
import type { Session } from "./apiTypes";
import { Asking } from "./asking";
import { ChangeList } from "./changeList";
import { copy } from "./clipboard";
import { draw } from "./drafting";
import { DraftEditor, MOST_CHARACTERS } from "./editor";
import { button, el, replaceChildren } from "./elements";
import { onEvent, onMissed } from "./events";
import { startImport } from "./imports";
import { invitation } from "./invitation";
import { LastSent } from "./lastSent";
import { PromptBox } from "./promptBox";
import { QuietLine } from "./quietLine";
import { lettersFor } from "./sending";
import { sentOf, type Sent } from "./sentNote";
import {
  canGoOn,
  hasCome,
  isEmpty,
  newDraft,
  newSheet,
  OWN,
  ownText,
  sameAsked,
  shownDraft,
  Sheets,
  type Asked,
  type Sheet,
  type SheetDraft,
} from "./sheet";
import type { Outbox } from "./unsent";
import { countWords, summary } from "./wordSummary";
import { count } from "./wording";

const KEEP_AFTER_MS = 300;
const COMPARE_AFTER_MS = 250;
const SLOW_AFTER_MS = 8000;

export async function deskPage(main: HTMLElement, session: Session, outbox: Outbox): Promise<void> {
  const sheets = new Sheets(session.user.id);
  const sheet = await sheets.open();
  const desk = new Desk(sheets, outbox, session.user.id);
  main.append(desk.element);
  desk.open(sheet);
}

class Desk {
  readonly element = el("div", { class: "desk" });
  private readonly prompt = new PromptBox({
    changed: (text) => this.promptChanged(text),
    done: () => void this.draft(),
  });
  private readonly asking: Asking;
  private readonly tabs = el("div", { class: "drafts", role: "group", "aria-label": "Drafts" });
  private readonly sheetOfPaper = el("div", { class: "editor" });
  private readonly editor: DraftEditor;
  private readonly changes: ChangeList;
  private readonly counted = el("p", { class: "summary" });
  private readonly quietLine = new QuietLine();
  private readonly draftButton = button("Draft", () => void this.draft(), { class: "primary" });
  private readonly copyButton = button("Copy", () => void this.send(), { class: "primary" });
  private readonly anotherButton = button("Another draft", () => void this.draft());
  private readonly goOnButton = button("Go on", () => void this.goOn());
  private readonly stopButton = button("Stop", () => this.stopping?.abort());
  private readonly newButton = button("New sheet", () => void this.newSheet());
  private readonly lastSent: LastSent;
  private sheet!: Sheet;
  private stopping: AbortController | null = null;
  private sending = false;
  private keepTimer: number | undefined;
  private compareTimer: number | undefined;

  constructor(
    private readonly sheets: Sheets,
    outbox: Outbox,
    userId: string,
  ) {
    this.lastSent = new LastSent(outbox, (sheet) => this.bringBack(sheet));
    this.asking = new Asking(userId, {
      changed: () => this.askedChanged(),
      done: () => void this.draft(),
    });
    const calls = {
      edited: (text: string) => this.edited(text),
      send: () => void this.send(),
      tooLong: (length: number) =>
        warn(
          `With this it would be ${length.toLocaleString("en")} characters; the desk takes ` +
            `${MOST_CHARACTERS.toLocaleString("en")}. Nothing was put in.`,
        ),
    };
    this.editor = new DraftEditor(this.sheetOfPaper, calls, "text-label");
    this.changes = new ChangeList(this.editor);
    this.layOut();
    this.follow();
  }

  open(sheet: Sheet): void {
    this.sheet = sheet;
    this.prompt.show(sheet.prompt);
    this.asking.show(sheet.hint ?? "");
    this.editor.clear();
    this.showDraft();
    if (isEmpty(sheet)) this.prompt.focus();
  }

  private layOut(): void {
    const keys =
      "Ctrl+Enter drafts on the left, and copies on the right. F7 goes to the next change, F8 takes " +
      "back the one at the cursor.";
    this.element.append(
      el("h1", { class: "unseen" }, "Writing desk"),
      el(
        "section",
        { class: "asked", "aria-label": "What is answered" },
        invitation(),
        this.prompt.element,
        this.asking.element,
        el("div", { class: "buttons" }, this.draftButton, this.newButton),
      ),
      el(
        "section",
        { class: "written", "aria-labelledby": "text-label" },
        el("div", { class: "above" }, el("h2", { id: "text-label" }, "Your text"), this.tabs),
        this.sheetOfPaper,
        el("div", { class: "buttons" }, this.copyButton, this.anotherButton, this.goOnButton, this.stopButton),
        this.lastSent.element,
        this.counted,
        this.quietLine.element,
        this.lastSent.waitingLine,
        this.changes.element,
        el("p", { class: "hint", id: "editor-keys" }, keys),
      ),
    );
  }

  private follow(): void {
    const flush = (): void => this.keep();
    window.addEventListener("pagehide", flush);
    document.addEventListener("visibilitychange", flush);
    user.watch(() => this.labelCopy());
    const refresh = (): void => void refreshUser().catch(() => {});
    onEvent("version", refresh);
    onEvent("start", refresh);
    onEvent("edit", refresh);
    onMissed(refresh);
  }

  private promptChanged(text: string): void {
    this.sheet.prompt = text;
    this.keepSoon();
    this.renderButtons();
  }

  private askedChanged(): void {
    this.sheet.hint = this.asking.hint;
    this.keepSoon();
    this.renderButtons();
  }

  /** What a draft would be asked for with. */
  private get asked(): Asked {
    return { prompt: this.sheet.prompt, ...this.asking.told };
  }

  private edited(text: string): void {
    const draft = shownDraft(this.sheet) ?? this.begin(text);
    if (!draft) return;
    draft.edited = text;
    this.endEmptied(draft);
    this.keepSoon();
    window.clearTimeout(this.compareTimer);
    this.compareTimer = window.setTimeout(() => this.compare(), COMPARE_AFTER_MS);
  }

  /** A text of the user's own, from its first letter on. */
  private begin(text: string): SheetDraft | undefined {
    if (text === "") return undefined;
    const own = ownText(this.asked);
    this.sheet.shown = this.sheet.drafts.push(own) - 1;
    this.sheetOfPaper.classList.remove("is-empty");
    this.renderButtons();
    return own;
  }

  /** An own text of which nothing is left was none, where there is nothing else on the sheet. */
  private endEmptied(draft: SheetDraft): void {
    if (!draft.own || draft.edited !== "" || this.sheet.drafts.length > 1) return;
    this.sheet.drafts = [];
    this.sheetOfPaper.classList.add("is-empty");
    this.renderButtons();
  }

  private compare(): void {
    const draft = shownDraft(this.sheet);
    if (draft?.own) {
      this.counted.textContent = `${count(countWords(draft.edited), "word")} of your own.`;
      return this.changes.clear();
    }
    if (!draft || draft.state === "coming") {
      this.counted.textContent = "";
      return this.changes.clear();
    }
    this.counted.textContent = summary(draft.text, draft.edited);
    this.changes.refresh();
  }

  /** Draws a draft; those there are stay. */
  private async draft(): Promise<void> {
    if (this.stopping !== null) return;
    if (this.sheet.prompt.trim() === "") {
      say("First say what you are answering.");
      return this.prompt.focus();
    }
    await this.draw(newDraft(this.asked));
  }

  /** Draws what follows a draft that was cut, as a draft that begins with the text as it stands. */
  private async goOn(): Promise<void> {
    const before = shownDraft(this.sheet);
    if (this.stopping !== null || !before || !canGoOn(before)) return;
    before.edited = this.editor.text;
    const { prompt, frame, hint, signAs, template, key, edited } = before;
    await this.draw(newDraft({ prompt, frame, hint, signAs, template }, { key, text: edited }));
  }

  private async draw(draft: SheetDraft): Promise<void> {
    this.sheet.drafts.push(draft);
    this.sheet.shown = this.sheet.drafts.length - 1;
    const sheet = this.sheet;
    const begun = draft.text;
    this.stopping = new AbortController();
    this.showDraft();
    say("Drafting.");
    const slow = window.setTimeout(() => say("Still drafting."), SLOW_AFTER_MS);
    try {
      const { signal } = this.stopping;
      const { prompt, frame, hint, signAs, template } = draft;
      const made = await draw({
        ...{ prompt, frame, hint, signAs, template, begun, signal },
        onPiece: (piece, id) => this.comes(draft, piece, id),
      });
      const text = begun + made.text;
      Object.assign(draft, { ...made, text, edited: text, state: "whole" });
      say(`The draft is there: ${countWords(text)} words.`);
    } catch (error) {
      this.brokeOff(sheet, draft, error);
    } finally {
      window.clearTimeout(slow);
      this.stopping = null;
      this.keep();
      this.showDraft();
    }
    if (shownDraft(this.sheet) === draft && draft.state === "whole") this.editor.focus();
  }

  private comes(draft: SheetDraft, piece: string, id: string): void {
    draft.id = id;
    draft.text += piece;
    draft.edited = draft.text;
    this.keepSoon();
    if (shownDraft(this.sheet) === draft) this.editor.append(piece);
  }

  private brokeOff(sheet: Sheet, draft: SheetDraft, error: unknown): void {
    draft.state = "broken off";
    if (!hasCome(draft)) {
      sheet.drafts = sheet.drafts.filter((one) => one !== draft);
      sheet.shown = Math.max(0, sheet.drafts.length - 1);
    }
    const kept = !hasCome(draft) ? "" : " What came of the draft is kept.";
    if (isAbort(error)) return say(`Stopped.${kept}`);
    if (error instanceof Unreachable || error instanceof SignedOut || error instanceof Refused) {
      return warn(`${sayError(error)}${kept} Draft again when you like.`);
    }
    throw error;
  }

  private showDraft(): void {
    const draft = shownDraft(this.sheet);
    this.sheetOfPaper.classList.toggle("is-empty", !draft);
    if (!draft) this.editor.edit(OWN, null, "");
    else if (draft.state === "coming") this.editor.watchComing(draft.key, draft.text);
    else this.editor.edit(draft.key, draft.own ? null : draft.text, draft.edited);
    this.quietLine.show(draft);
    this.compare();
    this.renderTabs();
    this.renderButtons();
  }

  private renderTabs(): void {
    const { drafts, shown } = this.sheet;
    const drawn = drafts.filter(({ own }) => !own);
    const tabs = drafts.map((draft, index) =>
      button(draft.own ? "Your own" : `Draft ${drawn.indexOf(draft) + 1}`, () => this.choose(index), { "aria-pressed": `${index === shown}` }),
    );
    replaceChildren(this.tabs, ...(drafts.length > 1 ? tabs : []));
  }

  private choose(index: number): void {
    this.sheet.shown = index;
    this.keepSoon();
    this.showDraft();
    this.tabs.querySelectorAll("button")[index]?.focus();
  }

  private renderButtons(): void {
    const draft = shownDraft(this.sheet);
    const coming = this.stopping !== null;
    const hasPrompt = this.sheet.prompt.trim() !== "";
    this.draftButton.disabled = coming || !hasPrompt;
    this.draftButton.hidden = draft !== undefined && !draft.own && sameAsked(draft, this.asked);
    this.anotherButton.hidden = !this.draftButton.hidden || coming;
    this.goOnButton.hidden = coming || !draft || !canGoOn(draft);
    this.copyButton.hidden = !draft || draft.state === "coming";
    this.labelCopy();
    this.stopButton.hidden = !coming;
    this.newButton.hidden = isEmpty(this.sheet);
    this.newButton.disabled = coming;
  }

  /** Whether what is made of the text that is shown can teach the user's model. */
  private get teaches(): boolean {
    const [draft, about] = [shownDraft(this.sheet), user.value];
    if (!draft || about === null || about.learner === "off") return false;
    const known = draft.own ? this.sheet.prompt.trim() !== "" : draft.id !== "" && draft.stored;
    return known && about.consent.store && about.consent.learn;
  }

  private labelCopy(): void {
    if (this.sheet !== undefined) this.copyButton.textContent = this.teaches ? "Copy and learn" : "Copy";
  }

  /** Once at a time: while the text is copied, another key would find the next sheet. */
  private async send(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    try {
      await this.sendShown();
    } finally {
      this.sending = false;
    }
  }

  /** Copies the text, and says what became of the draft. */
  private async sendShown(): Promise<void> {
    const draft = shownDraft(this.sheet);
    if (!draft || draft.state === "coming") return;
    const text = this.editor.text;
    if (text.trim() === "") return warn("There is nothing to copy: the text is empty.");
    draft.edited = text;
    // First of all, while the browser still sees the key that was pressed.
    const copied = await copy(text);
    if (draft.own) return this.sendOwn(text, copied);
    const letters = lettersFor(this.sheet, draft);
    if (!copied && letters.length === 0) {
      return warn(`It could not be copied: please copy it by hand. ${whyNothingToRecord(draft)}`);
    }
    const sent = sentOf(this.sheet, text, letters);
    if (!(await this.lastSent.hand(sent, letters))) return;
    const why = letters.length > 0 ? "" : whyNothingToRecord(draft);
    await this.putAway(sent, copied, `${summary(draft.text, text)} ${why}`.trim());
    this.lastSent.deliver();
  }

  /** A text that was written without a draft teaches as one does that was sent before. */
  private async sendOwn(text: string, copied: boolean): Promise<void> {
    const { prompt, hint, ...asked } = this.asked;
    let importId: string | null = null;
    if (this.teaches) {
      try {
        const item = { prompt, sent: text, ...(hint ? { hint } : {}) };
        importId = (await startImport([item], asked)).id;
      } catch (error) {
        const where = copied ? "Copied, but the server did not take it." : "It was neither copied nor taken.";
        return warn(`${where} ${sayError(error)} The text stays here.`);
      }
    }
    if (!copied && importId === null) return warn("It could not be copied: please copy it by hand.");
    const what = importId === null ? "It teaches nothing." : "The learner has it, as a text that you sent.";
    await this.putAway(sentOf(this.sheet, text, [], importId), copied, `Your own text. ${what}`);
  }

  /** Clears the desk for the next text; what was copied can be had back. */
  private async putAway(sent: Sent, copied: boolean, what: string): Promise<void> {
    window.clearTimeout(this.keepTimer);
    this.keepTimer = undefined;
    this.sheets.remove(sent.sheet.id);
    const where = copied ? "Copied" : "It could not be copied: undo, and copy it by hand";
    this.lastSent.show(sent, `${where}. ${what}`);
    this.open(await this.sheets.take(newSheet()));
  }

  private async newSheet(): Promise<void> {
    this.keep();
    this.open(await this.sheets.take(newSheet()));
    say("A new sheet. The other one is kept under “Your data”.");
  }

  private async bringBack(sheet: Sheet): Promise<void> {
    this.keep();
    this.open(await this.sheets.take(sheet));
    this.keep();
    this.editor.focus();
  }

  private keepSoon(): void {
    // Not put off by each key: whoever types on and on is kept up with.
    this.keepTimer ??= window.setTimeout(() => this.keep(), KEEP_AFTER_MS);
  }

  private keep(): void {
    window.clearTimeout(this.keepTimer);
    this.keepTimer = undefined;
    if (this.sheet === undefined || this.sheets.keep(this.sheet)) return;
    warn("This browser has no room left: the text is here, but a reload would lose it.");
  }
}

function whyNothingToRecord(draft: SheetDraft): string {
  if (!draft.stored) return "Your texts are not kept, so it teaches nothing.";
  return "The server does not know this draft, so it teaches nothing.";
}
