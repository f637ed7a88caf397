/** Every draft and edit of the user, newest first, to be read and searched. */

import { say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { DraftRecord, Drafts } from "./apiTypes";
import { copy } from "./clipboard";
import type { DeletionDialog } from "./deletionDialog";
import { button, el, labelled, replaceChildren } from "./elements";
import type { Asked } from "./sheet";
import { count, day, percent, shortened } from "./wording";
import { marked } from "./wordSummary";

const AT_ONCE = 20;
const SEARCH_AFTER_MS = 300;

export class Records {
  readonly element = el("div", {});
  private readonly search = el("input", { type: "search", maxlength: 200 });
  private readonly found = el("p", { class: "hint", role: "status", tabindex: -1 });
  private readonly list = el("div", { class: "records" });
  private readonly more = button("Show more", () => void this.load(this.last));
  private last: string | null = null;
  private shown = 0;
  private asked = 0;
  private timer: number | undefined;

  constructor(private readonly dialog: DeletionDialog) {
    this.search.addEventListener("input", () => {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.load(null), SEARCH_AFTER_MS);
    });
    this.more.hidden = true;
    this.element.append(labelled("Search in prompts, drafts and edits", this.search), this.found, this.list, this.more);
  }

  /** Shows the list anew after a deletion; the button that was pressed is gone. */
  async reload(): Promise<void> {
    const held = this.list.contains(document.activeElement);
    await this.load();
    if (held) this.found.focus();
  }

  async load(before: string | null = null): Promise<void> {
    const asked = ++this.asked;
    const query = new URLSearchParams({ q: this.search.value, limit: String(AT_ONCE) });
    if (before !== null) query.set("before", before);
    try {
      const page = await ask<Drafts>("GET", `/v1/users/me/drafts?${query}`);
      // A slower answer to an earlier search must not take the place of this one.
      if (asked === this.asked) this.show(page, before === null);
    } catch (error) {
      this.found.textContent = sayError(error);
    }
  }

  private show(page: Drafts, fresh: boolean): void {
    if (fresh) {
      replaceChildren(this.list);
      this.shown = 0;
    }
    this.list.append(...page.data.map((draft) => record(draft, this.dialog)));
    this.shown += page.data.length;
    this.last = page.data.at(-1)?.id ?? this.last;
    this.more.hidden = !page.has_more;
    const some = page.has_more ? "The newest " : "";
    this.found.textContent = this.shown === 0 ? "Nothing found." : `${some}${count(this.shown, "draft")}.`;
  }
}

function record(draft: DraftRecord, dialog: DeletionDialog): HTMLElement {
  const prompt = written(draft);
  const edits = draft.edits.flatMap((edit) => {
    const said = edit.accepted ? "Sent as it was" : `Sent, ${edit.state}, edit cost ${percent(edit.edit_cost)}`;
    const draftText = draft.choices[edit.choice]?.text ?? "";
    const when = day(edit.created_at);
    const forget = dialog.button({ kind: "edit", id: edit.id }, "Delete this edit…", `Delete the edit of ${when}`);
    // The server keeps the white space around a draft, which nobody wants in a letter.
    const text = edit.text.trim();
    const again = button("Copy", () => void copyAgain(text), { "aria-label": `Copy the text of ${when}` });
    const changes = [el("summary", {}, "What you changed"), marked(draftText, edit.text)];
    return [
      el("h4", {}, `${said} (${when})`),
      el("p", { class: "text", dir: "auto" }, text),
      !edit.accepted && el("details", {}, ...changes),
      el("p", { class: "buttons" }, again, forget),
    ];
  });
  const unanswered = draft.choices.flatMap(({ text }) => [el("h4", {}, "Draft"), el("p", { class: "text", dir: "auto" }, text)]);
  return el(
    "details",
    {},
    el(
      "summary",
      {},
      el("span", { class: "start", dir: "auto" }, shortened(prompt, 90) || "(empty)"),
      el("span", { class: "hint" }, about(draft)),
    ),
    el("h4", {}, "What was answered"),
    el("p", { class: "text", dir: "auto" }, prompt),
    ...around(draft),
    ...(edits.length > 0 ? edits : unanswered),
    el("p", {}, dialog.button({ kind: "draft", id: draft.id }, "Delete this draft and its edits…")),
  );
}

async function copyAgain(text: string): Promise<void> {
  if (await copy(text)) return say("Copied.");
  warn("It could not be copied: please copy it by hand.");
}

function about(draft: DraftRecord): string {
  const facts = [
    day(draft.created_at),
    draft.version === null ? "base model" : `version ${draft.version}`,
    draft.status === "cancelled" && "stopped",
    draft.source === "import" && "from past texts",
    draft.edits.length === 0 && "not sent",
  ];
  return facts.filter(Boolean).join(" · ");
}

/** What the user wrote: of a framed prompt the message without its frame. */
function written({ prompt, asked }: DraftRecord): string {
  if (asked === null || typeof prompt === "string") return promptText(prompt);
  return promptText([...prompt.slice(0, -1), { role: "user", content: asked.message }]);
}

/** What would ask for the same draft again: of a conversation, its last message. */
export function askedFor({ prompt, asked }: DraftRecord): Asked {
  if (asked === null) return { prompt: typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? "") };
  const { message, frame, hint, sign_as: signAs, frame_template: template } = asked;
  return { prompt: message, frame, hint, signAs, template: template ?? undefined };
}

/** What was filled into the frame, and the whole prompt, a click away. */
function around({ prompt, asked }: DraftRecord): HTMLElement[] {
  if (asked === null) return [];
  const { hint, sign_as: name } = asked;
  const filled = [hint && `To say: ${hint}`, name && `Signed as: ${name}`].filter(Boolean);
  const whole = el("p", { class: "text", dir: "auto" }, promptText(prompt));
  return [
    ...filled.map((line) => el("p", { dir: "auto" }, line)),
    el("details", {}, el("summary", {}, "What the model was told"), whole),
  ];
}

function promptText(prompt: DraftRecord["prompt"]): string {
  if (typeof prompt === "string") return prompt;
  return prompt.map(({ role, content }) => (role === "user" ? content : `${role}: ${content}`)).join("\n\n");
}
