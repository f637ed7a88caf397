/** The desk: what is answered on one side, the draft that becomes your text on the other. */

import { changeConsent, refreshUser, user } from "./account";
import { say, warn } from "./announcer";
import { isAbort, Refused, sayError, SignedOut, Unreachable } from "./api";
import type { Session } from "./apiTypes";
import { Asking } from "./asking";
import { ChangeList } from "./changeList";
import { copy } from "./clipboard";
import { standing } from "./connection";
import { draw } from "./drafting";
import { DraftEditor, MOST_CHARACTERS } from "./editor";
import { button, el, replaceChildren } from "./elements";
import { onEvent, onMissed } from "./events";
import { PromptBox } from "./promptBox";
import { QuietLine } from "./quietLine";
import { lettersFor } from "./sending";
import {
  canGoOn,
  hasCome,
  isEmpty,
  newDraft,
  newSheet,
  sameAsked,
  shownDraft,
  Sheets,
  type Asked,
  type Sheet,
  type SheetDraft,
} from "./sheet";
import { Outbox, type Taken, type Unsent } from "./unsent";
import { countWords, summary } from "./wordSummary";
import { percent } from "./wording";

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
  private readonly invitation = el("div", { class: "invitation" });
  private readonly tabs = el("div", { class: "drafts", role: "group", "aria-label": "Drafts" });
  private readonly sheetOfPaper = el("div", { class: "editor" });
  private readonly editor: DraftEditor;
  private readonly changes: ChangeList;
  private readonly counted = el("p", { class: "summary" });
  private readonly quietLine = new QuietLine();
  private readonly waitingLine = el("p", { class: "waiting-line" });
  private readonly draftButton = button("Draft", () => void this.draft(), { class: "primary" });
  private readonly sendButton = button("Send", () => void this.send(), { class: "primary" });
  private readonly anotherButton = button("Another draft", () => void this.draft());
  private readonly goOnButton = button("Go on", () => void this.goOn());
  private readonly stopButton = button("Stop", () => this.stopping?.abort());
  private readonly newButton = button("New sheet", () => void this.newSheet());
  private readonly backButton = button("Bring back what was sent", () => void this.bringBack());
  private sheet!: Sheet;
  private stopping: AbortController | null = null;
  private sending = false;
  private lastSent: Sheet | null = null;
  private saidOfSent = "";
  private keepTimer: number | undefined;
  private compareTimer: number | undefined;

  constructor(
    private readonly sheets: Sheets,
    private readonly outbox: Outbox,
    userId: string,
  ) {
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
      "Ctrl+Enter drafts on the left, and sends on the right. F7 goes to the next change, F8 takes " +
      "back the one at the cursor.";
    this.element.append(
      el("h1", { class: "unseen" }, "Writing desk"),
      el(
        "section",
        { class: "asked", "aria-label": "What is answered" },
        this.invitation,
        this.prompt.element,
        this.asking.element,
        el("div", { class: "buttons" }, this.draftButton, this.newButton, this.backButton),
      ),
      el(
        "section",
        { class: "written", "aria-labelledby": "text-label" },
        el("div", { class: "above" }, el("h2", { id: "text-label" }, "Your text"), this.tabs),
        this.sheetOfPaper,
        el("div", { class: "buttons" }, this.sendButton, this.anotherButton, this.goOnButton, this.stopButton),
        this.counted,
        this.quietLine.element,
        this.waitingLine,
        this.changes.element,
        el("p", { class: "hint", id: "editor-keys" }, keys),
      ),
    );
  }

  private follow(): void {
    const flush = (): void => this.keep();
    window.addEventListener("pagehide", flush);
    document.addEventListener("visibilitychange", flush);
    user.watch(() => this.invite());
    const refresh = (): void => void refreshUser().catch(() => {});
    onEvent("version", refresh);
    onEvent("start", refresh);
    onEvent("edit", refresh);
    onMissed(refresh);
    this.outbox.watch((_, item, answer) => this.delivered(item, answer));
    standing.watch(() => this.sayWaiting());
  }

  /** What would make the desk learn: consent, or for a new user texts from before. */
  private invite(): void {
    const about = user.value;
    const isNew = about !== null && about.serving === null && about.waiting === 0;
    const teachesNothing = about !== null && !about.consent.learn;
    replaceChildren(
      this.invitation,
      isNew &&
        el(
          "p",
          {},
          el("strong", {}, "New here? "),
          el("a", { href: "/welcome" }, "Start with texts that you sent before"),
          ", and the first draft sounds like you already. Or just write.",
        ),
      teachesNothing &&
        el(
          "p",
          {},
          "Your edits teach nothing so far. If you like, they teach a model of your own, which may " +
            "repeat what it learned, to you alone. ",
          button("Learn from my edits", () => void agree(), { class: "quiet" }),
        ),
    );
    this.invitation.hidden = !isNew && !teachesNothing;
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
    const draft = shownDraft(this.sheet);
    if (!draft) return;
    draft.edited = text;
    this.keepSoon();
    window.clearTimeout(this.compareTimer);
    this.compareTimer = window.setTimeout(() => this.compare(), COMPARE_AFTER_MS);
  }

  private compare(): void {
    const draft = shownDraft(this.sheet);
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
    if (!draft) this.editor.clear();
    else if (draft.state === "coming") this.editor.watchComing(draft.key, draft.text);
    else this.editor.edit(draft.key, draft.text, draft.edited);
    this.quietLine.show(draft);
    this.compare();
    this.renderTabs();
    this.renderButtons();
  }

  private renderTabs(): void {
    const { drafts, shown } = this.sheet;
    const tabs = drafts.map((_, index) =>
      button(`Draft ${index + 1}`, () => this.choose(index), { "aria-pressed": `${index === shown}` }),
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
    this.draftButton.hidden = draft !== undefined && sameAsked(draft, this.asked);
    this.anotherButton.hidden = !this.draftButton.hidden || coming;
    this.goOnButton.hidden = coming || !draft || !canGoOn(draft);
    this.sendButton.hidden = !draft || draft.state === "coming";
    this.stopButton.hidden = !coming;
    this.newButton.hidden = isEmpty(this.sheet);
    this.newButton.disabled = coming;
    this.backButton.hidden = this.lastSent === null || !isEmpty(this.sheet);
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
    if (text.trim() === "") return warn("There is nothing to send: the text is empty.");
    draft.edited = text;
    // First of all, while the browser still sees the key that was pressed.
    const copied = await copy(text);
    const letters = lettersFor(this.sheet, draft);
    if (!copied && letters.length === 0) {
      return warn(`It could not be copied: please copy it by hand. ${whyNothingToRecord(draft)}`);
    }
    if (!letters.every((letter) => this.outbox.add(letter)) && !(await this.sentAtOnce(letters))) return;
    window.clearTimeout(this.keepTimer);
    this.keepTimer = undefined;
    this.sheets.remove(this.sheet.id);
    this.lastSent = this.sheet;
    const what = summary(draft.text, text);
    const where = copied ? "Copied" : "It could not be copied: bring it back and copy it by hand";
    const why = letters.length > 0 ? "" : ` ${whyNothingToRecord(draft)}`;
    this.saidOfSent = `${where}. ${what}`;
    say(`${this.saidOfSent}${why}`);
    this.open(await this.sheets.take(newSheet()));
    void this.outbox.deliver();
    this.sayWaiting();
  }

  /** Where the browser's storage is full, the desk is cleared only once the server has it all. */
  private async sentAtOnce(letters: Unsent[]): Promise<boolean> {
    try {
      for (const letter of letters) {
        await this.outbox.sendNow(letter);
        this.outbox.remove(letter);
      }
      return true;
    } catch (error) {
      warn(`${sayError(error)} The text stays here; this browser has no room to keep it for later.`);
      return false;
    }
  }

  private delivered(item: Unsent, answer: Taken | null): void {
    this.sayWaiting();
    if (item.kind !== "edit" || answer?.object === "comparison") return;
    if (answer === null) {
      const back = this.lastSent === null ? "" : " “Bring back what was sent” lets you mend it.";
      return warn(`The server did not take the edit: ${item.refused} It is kept under “Your data”.${back}`);
    }
    const cost = answer.accepted ? "The draft was accepted." : `Edit cost ${percent(answer.edit_cost)}.`;
    const learns = answer.will_learn || answer.accepted ? "" : ` ${answer.reason ?? ""}`;
    say(`${this.saidOfSent} Recorded. ${cost}${learns}`.trim());
    this.saidOfSent = "";
    void refreshUser().catch(() => {});
  }

  private sayWaiting(): void {
    const waiting = this.outbox.waiting().filter(({ kind }) => kind === "edit").length;
    const away = standing.value !== "here" && waiting > 0;
    this.waitingLine.textContent = away
      ? `${waiting === 1 ? "An edit waits" : `${waiting} edits wait`} in this browser for the server.`
      : "";
  }

  private async newSheet(): Promise<void> {
    this.keep();
    this.open(await this.sheets.take(newSheet()));
    say("A new sheet. The other one is kept under “Your data”.");
  }

  private async bringBack(): Promise<void> {
    if (this.lastSent === null) return;
    this.open(await this.sheets.take(this.lastSent));
    this.lastSent = null;
    this.keep();
    this.renderButtons();
    this.editor.focus();
    say("Sending it again replaces what was recorded, unless it was learned from already.");
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

async function agree(): Promise<void> {
  try {
    await changeConsent({ store: true, learn: true });
    say("From now on your edits teach. “Your data” has the switch to end it.");
  } catch (error) {
    warn(sayError(error));
  }
}

function whyNothingToRecord(draft: SheetDraft): string {
  if (!draft.stored) return "Your texts are not kept, so it teaches nothing.";
  return "The server does not know this draft, so it teaches nothing.";
}
