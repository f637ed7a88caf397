/** What is being answered: a box that is typed or pasted into. */

import { warn } from "./announcer";
import { el, labelled } from "./elements";

export const MOST_PROMPT = 100_000;

export class PromptBox {
  readonly element: HTMLElement;
  private readonly box: HTMLTextAreaElement;
  private last = "";

  constructor(calls: { changed: (text: string) => void; done: () => void }) {
    this.box = el("textarea", {
      class: "prompt",
      dir: "auto",
      rows: 10,
      placeholder: "A complaint, a mail, your notes. Say also what you want written.",
      on: {
        input: () => this.take(calls.changed),
        keydown: (event) => {
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          calls.done();
        },
      },
    });
    this.element = labelled("What are you answering?", this.box);
  }

  get text(): string {
    return this.box.value;
  }

  show(text: string): void {
    this.box.value = text;
    this.last = text;
  }

  focus(): void {
    this.box.focus();
  }

  private take(changed: (text: string) => void): void {
    const { length } = this.box.value;
    if (length > MOST_PROMPT && length > this.last.length) {
      this.box.value = this.last;
      const figures = [length, MOST_PROMPT].map((n) => n.toLocaleString("en"));
      warn(`With this it would be ${figures[0]} characters; the desk takes ${figures[1]}. Nothing was put in.`);
      return;
    }
    this.last = this.box.value;
    changed(this.last);
  }
}
