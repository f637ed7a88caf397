/** What only this browser has: sheets that are not sent, and edits that the server did not take. */

import { say } from "./announcer";
import { copy } from "./clipboard";
import { button, el, replaceChildren } from "./elements";
import { shownDraft, Sheets } from "./sheet";
import type { Outbox } from "./unsent";
import { shortened } from "./wording";

const LONGEST = 120;

export class LocalTexts {
  readonly element = el("div", {});
  private readonly sheets: Sheets;

  constructor(
    userId: string,
    private readonly outbox: Outbox,
  ) {
    this.sheets = new Sheets(userId);
    outbox.watch(() => this.render());
    this.render();
  }

  private render(): void {
    const items = [...this.ofSheets(), ...this.ofWaiting(), ...this.ofRefused()];
    const none = el("p", {}, "Nothing: what was recorded is on the server.");
    replaceChildren(this.element, items.length > 0 ? el("ul", { class: "kept" }, ...items) : none);
  }

  private ofSheets(): HTMLElement[] {
    return this.sheets.all().map((sheet) => {
      const text = shownDraft(sheet)?.edited || sheet.prompt;
      const take = (): void => {
        this.sheets.showNext(sheet);
        location.assign("/");
      };
      const discard = (): void => {
        this.sheets.remove(sheet.id);
        this.render();
        say("Thrown away.");
      };
      return item("On a sheet", text, button("To the desk", take), button("Throw away", discard));
    });
  }

  private ofWaiting(): HTMLElement[] {
    return this.outbox.waiting().flatMap((unsent) => {
      return unsent.kind === "edit" ? [item("Waits for the server", unsent.body.text)] : [];
    });
  }

  private ofRefused(): HTMLElement[] {
    return this.outbox.refused().map((unsent) => {
      const text = unsent.kind === "edit" ? unsent.body.text : "Which of two drafts was better";
      const again = (): void => {
        const { refused: _, ...fresh } = unsent;
        this.outbox.add({ ...fresh, madeAt: Date.now() });
        void this.outbox.deliver();
        this.render();
      };
      const discard = (): void => {
        this.outbox.remove(unsent);
        this.render();
      };
      return item(
        `Not taken: ${unsent.refused}`,
        text,
        button("Copy", () => void copy(text).then((done) => say(done ? "Copied." : "It could not be copied."))),
        button("Try again", again),
        button("Throw away", discard),
      );
    });
  }
}

function item(state: string, text: string, ...buttons: HTMLElement[]): HTMLElement {
  return el(
    "li",
    {},
    el("span", { class: "hint" }, state),
    el("span", { class: "start", dir: "auto" }, shortened(text, LONGEST) || "(empty)"),
    el("span", { class: "buttons" }, ...buttons),
  );
}
