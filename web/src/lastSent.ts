/** The text that was copied last: what the server is told of it and answers, and how it is taken back. */

import { refreshUser, user } from "./account";
import { say, warn } from "./announcer";
import { sayError } from "./api";
import type { Edit } from "./apiTypes";
import { standing } from "./connection";
import { el } from "./elements";
import { maskNote } from "./masks";
import { isEdit, SentNote, takeBack, takeEditBack, type Sent } from "./sentNote";
import type { Sheet } from "./sheet";
import type { Outbox, Taken, Unsent } from "./unsent";
import { percent } from "./wording";

export class LastSent {
  readonly waitingLine = el("p", { class: "waiting-line" });
  private readonly note = new SentNote({
    undo: () => void this.undo(),
    copied: (done) => (done ? say("Copied.") : warn("It could not be copied: undo, and copy it by hand.")),
  });
  private sent: Sent | null = null;
  /** What was taken back while it may still have been on its way. */
  private readonly undone: Sent[] = [];
  private said = "";

  /** `bringBack` opens a sheet again that was cleared away. */
  constructor(
    private readonly outbox: Outbox,
    private readonly bringBack: (sheet: Sheet) => Promise<void>,
  ) {
    outbox.watch((_, item, answer) => this.delivered(item, answer));
    standing.watch(() => this.sayWaiting());
  }

  get element(): HTMLElement {
    return this.note.element;
  }

  /** Keeps what is to be said to the server, or says it at once; false where neither could be done. */
  async hand(sent: Sent, letters: Unsent[]): Promise<boolean> {
    return letters.every((letter) => this.outbox.add(letter)) || this.sayAtOnce(sent, letters);
  }

  show(sent: Sent, said: string): void {
    this.sent = sent;
    this.said = said;
    this.note.show(sent.text, said);
    say(said);
  }

  deliver(): void {
    void this.outbox.deliver();
    this.sayWaiting();
  }

  /** Where the browser's storage is full, the desk is cleared only once the server has it all. */
  private async sayAtOnce(sent: Sent, letters: Unsent[]): Promise<boolean> {
    try {
      for (const letter of letters) {
        const answer = await this.outbox.sendNow(letter);
        if (isEdit(answer)) sent.edits.push(answer.id);
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
    const sent = this.sentUnder(item);
    if (answer === null) {
      const back = sent === null ? "" : " “Undo” lets you mend it.";
      return warn(`The server did not take the edit: ${item.refused} It is kept under “Your data”.${back}`);
    }
    if (sent?.undone) return void takeEditBack(answer.id).catch((error: unknown) => warn(sayError(error)));
    sent?.edits.push(answer.id);
    const cost = answer.accepted ? "The draft was accepted." : `Edit cost ${percent(answer.edit_cost)}.`;
    const said = `Recorded. ${cost} ${whyNotLearned(answer)} ${maskNote(answer)}`.replace(/ +/g, " ").trim();
    if (sent !== null && sent === this.sent) this.note.tell(`${this.said} ${said}`);
    say(`${this.said} ${said}`.trim());
    void refreshUser().catch(() => {});
  }

  /** The text that an item tells of, where this tab copied it last or took it back. */
  private sentUnder({ body }: Unsent): Sent | null {
    const here = [this.sent, ...this.undone];
    return here.find((sent) => sent?.keys.has(body.idempotency_key)) ?? null;
  }

  private sayWaiting(): void {
    const waiting = this.outbox.waiting().filter(({ kind }) => kind === "edit").length;
    const away = standing.value !== "here" && waiting > 0;
    this.waitingLine.textContent = away
      ? `${waiting === 1 ? "An edit waits" : `${waiting} edits wait`} in this browser for the server.`
      : "";
  }

  /** Brings the text back to its sheet, and takes back what was recorded, as far as nothing learned from it. */
  private async undo(): Promise<void> {
    const sent = this.sent;
    if (sent === null) return;
    this.sent = null;
    this.note.hide();
    await this.bringBack(sent.sheet);
    sent.undone = true;
    this.undone.push(sent);
    this.outbox.drop(sent.keys);
    this.sayWaiting();
    try {
      const taken = await takeBack(sent);
      if (taken === "all") say("Undone: the text is back, and nothing is learned from it.");
      else say("The text is back. A version learned from it already: under “Your data” you can delete that.");
    } catch (error) {
      warn(`The text is back. What was recorded is not taken back: ${sayError(error)}`);
    }
    void refreshUser().catch(() => {});
  }
}

function whyNotLearned(edit: Edit): string {
  if (edit.will_learn || edit.accepted) return "";
  if (user.value?.consent.learn === false) return "Learning is off, so it teaches nothing.";
  return edit.reason ?? "";
}
