/** Deleting larger things than one text: imports, all texts, the model, the account; and the receipts. */

import { ask, sayError } from "./api";
import type { Import, Imports, Receipt, Receipts } from "./apiTypes";
import type { DeletionDialog } from "./deletionDialog";
import { el, replaceChildren } from "./elements";
import { count, day } from "./wording";

const KINDS: Record<Receipt["kind"], string> = {
  edit: "An edit",
  draft: "A draft and its edits",
  import: "An import",
  texts: "All texts",
  model: "The model",
  user: "The account",
  age: "Texts that had grown old",
};

const REPLAYS: Record<Receipt["replay"]["state"], string> = {
  none: "nothing had to be learned again",
  waiting: "the rest is being learned again",
  done: "the rest was learned again",
  rejected: "the rest was learned again, and failed its checks",
  withdrawn: "the rest is not learned again",
};

export class OwnDeletions {
  readonly element = el("div", {});
  private readonly imports = el("div", {});
  private readonly receipts = el("div", {});

  constructor(private readonly dialog: DeletionDialog) {
    this.element.append(
      el("p", {}, "Each button says first what it undoes, what it does not, and how long it takes to learn the rest again. A single draft or edit has its own under “Every draft and edit”."),
      el(
        "div",
        { class: "buttons" },
        dialog.button({ kind: "texts" }, "Delete all my texts…"),
        dialog.button({ kind: "model" }, "Delete my model…"),
        dialog.button({ kind: "user" }, "Delete my account…"),
      ),
      this.imports,
      this.receipts,
    );
  }

  async load(): Promise<void> {
    try {
      const [imports, receipts] = await Promise.all([
        ask<Imports>("GET", "/v1/users/me/imports"),
        ask<Receipts>("GET", "/v1/users/me/deletions"),
      ]);
      this.show(imports, receipts);
    } catch (error) {
      replaceChildren(this.imports, el("p", { class: "hint" }, sayError(error)));
    }
  }

  private show({ data: imports, has_more: more }: Imports, { data: receipts }: Receipts): void {
    replaceChildren(
      this.imports,
      imports.length > 0 && el("h3", {}, "Imports"),
      imports.length > 0 && el("ul", { class: "kept" }, ...imports.map((one) => this.item(one))),
      more && el("p", { class: "hint" }, "Older ones are not shown."),
    );
    replaceChildren(
      this.receipts,
      receipts.length > 0 && el("h3", {}, "What was deleted"),
      receipts.length > 0 && el("ul", { class: "kept" }, ...receipts.map(receiptItem)),
    );
  }

  private item({ id, total, created_at }: Import): HTMLElement {
    const name = `${count(total, "text")}, ${day(created_at)}`;
    return el("li", {}, el("span", { class: "start" }, name), this.dialog.button({ kind: "import", id }, "Delete…", `Delete the import of ${name}`));
  }
}

function receiptItem({ id, kind, deleted_at, replay }: Receipt): HTMLElement {
  const when = day(deleted_at);
  return el(
    "li",
    {},
    el("span", { class: "start" }, `${KINDS[kind]}, ${when}; ${REPLAYS[replay.state]}.`),
    el("a", { href: `/v1/deletions/${encodeURIComponent(id)}`, download: `${id}.json`, "aria-label": `Receipt of ${when}` }, "Receipt"),
  );
}
