/** Drafts of the same prompt by two models, side by side. */

import { say } from "./announcer";
import { sayError } from "./api";
import { draw } from "./drafting";
import { el, replaceChildren } from "./elements";
import type { Asked } from "./sheet";

export interface Drafter {
  name: string;
  model: string;
}

export class TwoDrafts {
  readonly element = el("div", { class: "side-by-side" });
  private readonly columns = new Map<Drafter, HTMLElement>();
  private stopping: AbortController | null = null;

  /** The same seed for both, so that chance differs as little as it can. */
  async show(asked: Asked, drafters: [Drafter, Drafter], sent?: string): Promise<void> {
    this.stopping?.abort();
    const stopping = new AbortController();
    this.stopping = stopping;
    this.layOut(drafters, sent);
    const seed = Math.floor(Math.random() * 2 ** 31);
    for (const drafter of drafters) {
      const text = this.columns.get(drafter)!;
      text.setAttribute("aria-busy", "true");
      const onPiece = (piece: string): void => text.append(piece);
      try {
        const { signal } = stopping;
        await draw({ ...asked, model: drafter.model, seed, signal, onPiece });
      } catch (error) {
        if (stopping.signal.aborted) return;
        text.append(sayError(error));
      } finally {
        text.removeAttribute("aria-busy");
      }
    }
    say("Both drafts are there.");
  }

  private layOut(drafters: [Drafter, Drafter], sent?: string): void {
    this.columns.clear();
    for (const drafter of drafters) {
      this.columns.set(drafter, el("p", { class: "text", dir: "auto" }));
    }
    const columns = drafters.map((drafter) => column(drafter.name, this.columns.get(drafter)!));
    const own = sent === undefined ? null : column("What you sent", el("p", { class: "text", dir: "auto" }, sent));
    replaceChildren(this.element, ...columns, own);
  }
}

function column(title: string, text: HTMLElement): HTMLElement {
  return el("section", { "aria-label": title }, el("h3", {}, title), text);
}
