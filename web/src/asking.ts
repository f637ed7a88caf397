/** How a draft is asked for: what the text above is, what to say in the draft, how to sign it. */

import { say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { Frames, Frame as Usual } from "./apiTypes";
import { button, el, labelled } from "./elements";
import { Kept } from "./kept";
import type { Asked, Frame } from "./sheet";

export const MOST_HINT = 500;
const MOST_NAME = 100;
const MOST_TEMPLATE = 4000;
const WORDS_HINT =
  "{message} stands for the text above, {hint} for what it shall say, {name} for how you sign, " +
  "{sender} for who signed the message. A line whose field is empty is left out.";

const FRAMES: { name: Frame; label: string; hint: string }[] = [
  {
    name: "reply",
    label: "A message to me, which the draft answers",
    hint: "A few words are enough: yes, Fri, no refund",
  },
  { name: "write", label: "What I want written", hint: "What it has to say, in a few words" },
  { name: "none", label: "The whole prompt, word for word", hint: "" },
];

interface Habits {
  frame: Frame;
  signAs: string;
  /** The user's words in place of a frame's, by its name. */
  templates: Partial<Record<Frame, string>>;
}

const FIRST: Habits = { frame: "reply", signAs: "", templates: {} };

export interface Manner {
  /** Of the choice of a frame. */
  label?: string;
  hasHint?: boolean;
  /** Whether what is chosen here is the user's habit from then on. */
  remembers?: boolean;
}

/** The frame and the name are remembered for the user; the hint belongs to the sheet. */
export class Asking {
  readonly element: HTMLElement;
  private readonly kept: Kept<Habits>;
  private readonly habits: Habits;
  private readonly frames: HTMLSelectElement;
  private readonly hintBox: HTMLInputElement;
  private readonly nameBox: HTMLInputElement;
  private readonly filledIn: HTMLElement;
  private readonly wordsBox: HTMLTextAreaElement;
  private readonly words: HTMLDetailsElement;
  private readonly unsaid = el("p", { class: "hint", role: "status" });
  private usual: Usual[] = [];

  constructor(
    userId: string,
    calls: { changed: () => void; done: () => void },
    private readonly manner: Manner = {},
  ) {
    this.kept = new Kept<Habits>(userId, "asking");
    this.habits = { ...FIRST, ...this.kept.get("habits") };
    const options = FRAMES.map(({ name, label }) => el("option", { value: name }, label));
    this.frames = el("select", { on: { change: () => this.choose(calls.changed) } }, ...options);
    const keydown = (event: KeyboardEvent): void => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      calls.done();
    };
    const typed = { type: "text", dir: "auto", autocomplete: "off" };
    this.hintBox = el("input", {
      ...typed,
      maxlength: MOST_HINT,
      on: { input: () => calls.changed(), keydown },
    });
    this.nameBox = el("input", {
      ...typed,
      maxlength: MOST_NAME,
      on: { input: () => this.sign(calls.changed), keydown },
    });
    this.filledIn = el(
      "div",
      { class: "filled-in" },
      (manner.hasHint ?? true) && labelled("What shall it say?", this.hintBox),
      labelled("Sign as", this.nameBox),
    );
    this.wordsBox = el("textarea", {
      dir: "auto",
      rows: 8,
      maxlength: MOST_TEMPLATE,
      readonly: true,
      on: { input: () => this.reword(this.wordsBox.value, calls.changed) },
    });
    const forget = (): void => {
      this.reword("", calls.changed);
      this.render();
    };
    this.words = el(
      "details",
      { on: { toggle: () => void this.readUsual() } },
      el("summary", {}, "What the model is told"),
      labelled("Around the message", this.wordsBox, WORDS_HINT),
      button("Take the usual words", forget, { class: "quiet" }),
    );
    this.element = el(
      "div",
      { class: "asking" },
      labelled(manner.label ?? "This is", this.frames),
      this.filledIn,
      this.unsaid,
      this.words,
    );
    this.render();
  }

  /** All of it, as a draft is asked for with. */
  get told(): Omit<Asked, "prompt"> {
    const { frame, hint, signAs, template } = this;
    return { frame, hint, signAs, template };
  }

  /** Shows what an earlier draft was asked for with; what it does not say was not said. */
  fill({ frame = "none", hint = "", signAs = "", template }: Omit<Asked, "prompt">): void {
    Object.assign(this.habits, { frame, signAs, templates: template === undefined ? {} : { [frame]: template } });
    this.show(hint);
    this.render();
  }

  get frame(): Frame {
    return this.habits.frame;
  }

  /** Empty where no frame would carry it. */
  get hint(): string {
    return this.frame === "none" ? "" : this.hintBox.value.trim();
  }

  get signAs(): string {
    return this.frame === "none" ? "" : this.habits.signAs.trim();
  }

  /** Undefined where the frame's own words are to be used. */
  get template(): string | undefined {
    return this.habits.templates[this.frame];
  }

  /** The frame's own words, as they are with or without a name; empty before they are read. */
  private get usualWords(): string {
    const words = this.usual.find(({ id }) => id === this.frame);
    return (this.signAs ? words?.template : words?.template_without_name) ?? "";
  }

  show(hint: string): void {
    this.hintBox.value = hint;
  }

  private choose(changed: () => void): void {
    this.habits.frame = FRAMES.find(({ name }) => name === this.frames.value)?.name ?? FIRST.frame;
    this.remember();
    this.render();
    changed();
  }

  private sign(changed: () => void): void {
    this.habits.signAs = this.nameBox.value;
    this.remember();
    this.showWords();
    changed();
  }

  private reword(text: string, changed: () => void): void {
    const { [this.frame]: _, ...others } = this.habits.templates;
    const isOwn = text.trim() !== "" && text !== this.usualWords;
    this.habits.templates = isOwn ? { ...others, [this.frame]: text } : others;
    this.remember();
    this.sayUnsaid();
    changed();
  }

  /** Nobody types in the box before the usual words are there, or they would come between the typed ones. */
  private async readUsual(): Promise<void> {
    if (!this.words.open || this.usual.length > 0) return;
    try {
      this.usual = (await ask<Frames>("GET", "/v1/frames")).data;
      this.render();
    } catch (error) {
      warn(sayError(error));
    } finally {
      this.wordsBox.readOnly = false;
    }
  }

  private remember(): void {
    if (this.manner.remembers === false) return;
    if (!this.kept.put("habits", this.habits)) say("This browser cannot remember the choice.");
  }

  private render(): void {
    const chosen = FRAMES.find(({ name }) => name === this.habits.frame) ?? FRAMES[0]!;
    this.frames.value = this.habits.frame;
    this.nameBox.value = this.habits.signAs;
    this.hintBox.placeholder = chosen.hint;
    this.filledIn.hidden = this.words.hidden = chosen.name === "none";
    this.showWords();
  }

  private showWords(): void {
    this.wordsBox.value = this.template ?? this.usualWords;
    this.sayUnsaid();
  }

  /** Lines of the user's own words that a missing name takes away would be missed silently. */
  private sayUnsaid(): void {
    const lines = this.signAs ? [] : (this.template ?? "").split("\n");
    const count = lines.filter((line) => line.includes("{name}")).length;
    this.unsaid.hidden = count === 0;
    this.unsaid.textContent =
      count === 0
        ? ""
        : `Your own words around the message have ${count === 1 ? "a line" : `${count} lines`} with {name}, and ` +
          "without a name these are left out. Say how you sign, or take the usual words.";
  }
}
