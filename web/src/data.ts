/** Your data: what you agreed to, all that is kept of you, how to take it along, what deleting does. */

import { say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { Session } from "./apiTypes";
import { user } from "./account";
import { armField, consentForm, holdbackField, maskField } from "./consentForm";
import { DeletionDialog } from "./deletionDialog";
import { button, el } from "./elements";
import { Letters } from "./letters";
import { LocalTexts } from "./localTexts";
import { OwnDeletions } from "./ownDeletions";
import { Records } from "./records";
import type { Outbox } from "./unsent";

export async function dataPage(main: HTMLElement, session: Session, outbox: Outbox): Promise<void> {
  const dialog = new DeletionDialog(() => {
    void Promise.all([records.reload(), letters.load(), deletions.load()]);
  });
  const records = new Records(dialog);
  const letters = new Letters();
  const deletions = new OwnDeletions(dialog);
  main.append(
    el(
      "div",
      { class: "page" },
      el("h1", {}, "Your data"),
      el("h2", {}, "What you agree to"),
      consentForm(["store", "learn", "share", "upstream"]),
      pastEdits(),
      maskField(),
      armField(),
      holdbackField(),
      el("h2", {}, "Take it along"),
      el("p", {}, el("a", { href: "/v1/users/me/export", download: true }, "Everything that is kept of you"), ", as JSON lines: drafts, edits, comparisons, versions, and the log of your consent."),
      el("h2", {}, "In this browser only"),
      new LocalTexts(session.user.id, outbox).element,
      el("h2", {}, "Letters that stand before your next requests"),
      letters.element,
      el("h2", {}, "Every draft and edit"),
      records.element,
      el("h2", {}, "Delete"),
      deletions.element,
      dialog.element,
      el("h2", {}, "What can be undone, and what not"),
      ...undoing(),
    ),
  );
  await Promise.all([records.load(), letters.load(), deletions.load()]);
}

/** Consent is not retroactive unless the user says so. */
function pastEdits(): HTMLElement {
  const includePast = async (): Promise<void> => {
    try {
      await ask("PUT", "/v1/users/me/consent", { learn: true, include_past: true });
      say("Edits from before you agreed are learned from too.");
    } catch (error) {
      warn(sayError(error));
    }
  };
  const field = el(
    "p",
    {},
    button("Learn from my earlier edits too", () => void includePast()),
    el("span", { class: "hint" }, " Else only those count that came after you agreed."),
  );
  user.watch((about) => {
    field.hidden = !about?.consent.learn;
  });
  return field;
}

function undoing(): HTMLElement[] {
  return [
    "Switching “Learn from my edits” off takes your model out of use at once. Its weights stay, and hold what they learned, until you delete your model.",
    "What a version has learned it may repeat. Deleting a text erases every version that learned from it, and the rest is learned again without it; going back under “Learning” only takes a version out of use.",
    "A letter stands before your requests only while you agree to both. “Never” and “Forget all” work from the next draft on; what was learned from a letter stays learned until its edit or import is deleted.",
    "Switching “Keep my drafts and edits” off keeps nothing new; what was kept before stays until you delete it.",
    "Nobody can undo what has left the server: exports, backups of its disk, and texts that you copied and sent.",
  ].map((line) => el("p", {}, line));
}
