/** A sheet: one thing that is being answered, with its drafts and the texts made of them. */

import { Kept, newId } from "./kept";
import { hold, type Release } from "./locks";

export type Frame = "reply" | "write" | "none";

/** What a draft is asked for with. */
export interface Asked {
  prompt: string;
  /** Undefined in sheets of before there were frames. */
  frame?: Frame;
  hint?: string;
  signAs?: string;
  /** The user's words in place of the frame's. */
  template?: string | undefined;
}

export interface SheetDraft extends Asked {
  key: string;
  /** What the server calls it; empty until the first piece of it has come. */
  id: string;
  /** As it was drafted. */
  text: string;
  /** As it stands on the desk. */
  edited: string;
  state: "coming" | "whole" | "broken off";
  /** A version's number; null for the base, undefined where the server does not tell. */
  version?: number | null;
  /** Whether the server keeps it; what is not kept cannot teach. */
  stored: boolean;
  cut: boolean;
  /** Whether it was stopped since it repeated itself. */
  looped?: boolean;
  /** Facts of earlier letters in it that nobody asked for. */
  leaks?: string[];
  /** How many of the user's letters stood before it. */
  letters?: number;
  /** The draft that it goes on with, and that one's text as it stood: the beginning of this one. */
  goesOn?: { key: string; text: string };
  /** Written by the user, without a draft. */
  own?: boolean;
}

/** The key of a user's own text; a sheet has one at most. */
export const OWN = "own";

export interface Sheet {
  id: string;
  prompt: string;
  hint?: string;
  drafts: SheetDraft[];
  shown: number;
  changedAt: number;
}

export function newSheet(): Sheet {
  return { id: newId(), prompt: "", drafts: [], shown: 0, changedAt: Date.now() };
}

export function isEmpty(sheet: Sheet): boolean {
  return sheet.prompt.trim() === "" && sheet.drafts.length === 0;
}

export function newDraft(asked: Asked, goesOn?: SheetDraft["goesOn"]): SheetDraft {
  const begun = goesOn?.text ?? "";
  return {
    ...asked,
    ...(goesOn === undefined ? {} : { goesOn }),
    key: newId(),
    id: "",
    text: begun,
    edited: begun,
    state: "coming",
    stored: true,
    cut: false,
  };
}

/** What a user writes without a draft, beside the drafts that may come. */
export function ownText(asked: Asked): SheetDraft {
  return { ...newDraft(asked), key: OWN, state: "whole", stored: false, own: true };
}

/** A draft that was cut; one that repeated itself would only go on to do so. */
export function canGoOn(draft: SheetDraft): boolean {
  return draft.state === "whole" && draft.cut && draft.looped !== true && draft.edited.trim() !== "";
}

/** Whether two drafts answer the same words, told the same. */
export function sameAsked(one: Asked, other: Asked): boolean {
  const frames = [one, other].map(({ frame }) => frame ?? "none");
  return (
    one.prompt === other.prompt &&
    frames[0] === frames[1] &&
    (one.hint ?? "") === (other.hint ?? "") &&
    (one.signAs ?? "") === (other.signAs ?? "") &&
    one.template === other.template
  );
}

/** Whether anything of a draft has come. */
export function hasCome(draft: SheetDraft): boolean {
  return draft.text !== (draft.goesOn?.text ?? "");
}

/** The drafts that a draft goes on with, the latest first. */
export function begunWith(sheet: Sheet, draft: SheetDraft): SheetDraft[] {
  const before = sheet.drafts.find(({ key }) => key === draft.goesOn?.key);
  return before === undefined ? [] : [before, ...begunWith(sheet, before)];
}

export function shownDraft(sheet: Sheet): SheetDraft | undefined {
  return sheet.drafts[sheet.shown];
}

const RELOADS_WITHIN_MS = 800;

/** The sheets of one user in this browser. A tab holds the sheet that it shows. */
export class Sheets {
  private readonly kept: Kept<Sheet>;
  private release: Release | null = null;

  constructor(private readonly userId: string) {
    this.kept = new Kept<Sheet>(userId, "sheet");
  }

  /** False where the browser could not keep it. */
  keep(sheet: Sheet): boolean {
    sheet.changedAt = Date.now();
    if (!isEmpty(sheet)) return this.kept.put(sheet.id, sheet);
    this.kept.remove(sheet.id);
    return true;
  }

  remove(id: string): void {
    this.kept.remove(id);
  }

  /** Newest first. */
  all(): Sheet[] {
    const sheets = this.kept.all().map(({ value }) => value);
    return sheets.sort((a, b) => b.changedAt - a.changedAt);
  }

  /** The sheet this tab showed before it was loaded anew; else one that no tab shows; else a new one. */
  async open(): Promise<Sheet> {
    return (await this.own()) ?? (await this.leftAlone()) ?? (await this.take(newSheet()));
  }

  /** Shows a sheet in this tab, now and after its next load. */
  async take(sheet: Sheet): Promise<Sheet> {
    return this.shown(sheet, await hold(this.lock(sheet.id), 0));
  }

  /** The desk of this tab shows that sheet when it is opened next. */
  showNext(sheet: Sheet): void {
    sessionStorage.setItem(this.key, sheet.id);
  }

  private async own(): Promise<Sheet | null> {
    const id = sessionStorage.getItem(this.key);
    const sheet = id === null ? null : this.kept.get(id);
    if (sheet === null) return null;
    // A page that is loaded anew lets go of its lock only in a moment.
    const release = await hold(this.lock(sheet.id), RELOADS_WITHIN_MS);
    if (release !== null) return this.shown(mended(sheet), release);
    // Another tab shows it, so this one is its copy: from here on each has a text of its own.
    return this.take(mended({ ...structuredClone(sheet), id: newId() }));
  }

  private async leftAlone(): Promise<Sheet | null> {
    for (const sheet of this.all()) {
      const release = await hold(this.lock(sheet.id), 0);
      if (release !== null) return this.shown(mended(sheet), release);
    }
    return null;
  }

  private shown(sheet: Sheet, release: Release | null): Sheet {
    this.release?.();
    this.release = release;
    this.showNext(sheet);
    return sheet;
  }

  private lock(id: string): string {
    return `corll/${this.userId}/sheet/${id}`;
  }

  private get key(): string {
    return `corll/${this.userId}/sheet`;
  }
}

/** A draft that was coming when the page went away will not come any further. */
function mended(sheet: Sheet): Sheet {
  for (const draft of sheet.drafts) if (draft.state === "coming") draft.state = "broken off";
  sheet.drafts = sheet.drafts.filter((draft) => hasCome(draft) || (draft.edited !== "" && !draft.goesOn));
  sheet.shown = Math.max(0, Math.min(sheet.shown, sheet.drafts.length - 1));
  return sheet;
}
