/** What a deletion undoes, what it does not, and what it costs: in words, by the server's own plan. */

import type { Receipt } from "./apiTypes";
import { count } from "./wording";

export type Kind = "edit" | "draft" | "import" | "texts" | "model" | "user";

/** What is to be deleted; of the user's own texts, model or account no id is needed. */
export interface Target {
  kind: Kind;
  id?: string;
}

const TITLES: Record<Kind, string> = {
  edit: "Delete this edit?",
  draft: "Delete this draft and its edits?",
  import: "Delete this import?",
  texts: "Delete all your texts?",
  model: "Delete your model?",
  user: "Delete your account?",
};

const OF_THE_WHOLE: Partial<Record<Kind, string>> = {
  texts: "Your account, its switches and its keys stay.",
  model: "Your texts stay. What was learned from them is set aside, so nothing is learned from them again.",
  user: "Your account goes with its keys and sessions, and you are signed out.",
};

export function titleOf(kind: Kind): string {
  return TITLES[kind];
}

export function pathOf({ kind, id }: Target): string {
  if (kind === "user") return "/v1/users/me";
  if (kind === "texts" || kind === "model") return `/v1/users/me/${kind}`;
  return `/v1/${kind}s/${encodeURIComponent(id ?? "")}`;
}

export function undone(receipt: Receipt): string[] {
  const { kind, counts } = receipt;
  const texts = [
    counts.drafts && count(counts.drafts, "draft"),
    counts.edits && count(counts.edits, "edit"),
    counts.comparisons && count(counts.comparisons, "comparison"),
    counts.imported_texts && count(counts.imported_texts, "imported text"),
  ].filter((part): part is string => typeof part === "string");
  const whole = kind === "age" ? undefined : OF_THE_WHOLE[kind];
  const lines = [texts.length > 0 && `Gone for good: ${listed(texts)}.`, whole];
  return [...lines.filter((line): line is string => typeof line === "string"), ...ofVersions(receipt)];
}

/** How long the learner works to make up for it. *Units*: minutes, or seconds below 90 of these. */
export function cost({ replay }: Receipt): string {
  if (replay.state !== "waiting" || replay.edits === 0) return "Nothing has to be learned again.";
  const replays = `Afterwards the learner replays ${count(replay.edits, "edit")}`;
  if (replay.seconds === null) return `${replays}; how long that takes is not known.`;
  const about = replay.seconds < 90 ? count(Math.round(replay.seconds), "second") : count(Math.round(replay.seconds / 60), "minute");
  return `${replays}, about ${about}.`;
}

export function notUndone({ drafts_of_erased, drafts_behind }: Receipt): string[] {
  const staying = [
    drafts_of_erased > 0 && `${count(drafts_of_erased, "draft")} that an erased version wrote`,
    drafts_behind > 0 && `${count(drafts_behind, "draft")} that it stood before`,
  ].filter((part): part is string => typeof part === "string");
  const stay = staying.length > 0 ? [`What may repeat it stays: ${listed(staying)}.`] : [];
  return [
    ...stay,
    "Backups, logs, exports, other texts that quote it, texts that a browser keeps, and what was copied and sent are not reached.",
  ];
}

/** What is said once it is done. */
export function done(receipt: Receipt): string {
  const { erased, replay, cleaned } = receipt;
  const parts = ["Deleted."];
  if (erased.length > 0) parts.push(`Now ${drafter(receipt)} drafts.`);
  if (replay.state === "waiting") parts.push(`${count(replay.edits, "edit")} will be learned again without it.`);
  if (!cleaned) parts.push("Some bytes are still in the server's files; it goes on removing them.");
  return parts.join(" ");
}

function ofVersions(receipt: Receipt): string[] {
  const { erased, references, user } = receipt;
  const own = erased.filter((version) => version.user === user).map(({ number }) => String(number));
  const others = erased.length - own.length;
  const lines: string[] = [];
  if (own.length > 0) {
    const versions = own.length === 1 ? `Version ${own[0]} learned from it and is` : `Versions ${listed(own)} learned from it and are`;
    lines.push(`${versions} erased, with no way back.`, `From then on ${drafter(receipt)} drafts.`);
  }
  if (others > 0) lines.push(`${count(others, "version")} of other users, made of yours, ${others === 1 ? "is" : "are"} erased too.`);
  if (references.length > 0) lines.push(`${count(references.length, "starting point")} made of such a version ${references.length === 1 ? "is" : "are"} erased too.`);
  return lines;
}

function drafter({ stands_in }: Receipt): string {
  return stands_in === null ? "the model that you started from, with nothing learned," : `version ${stands_in.number}`;
}

function listed(parts: string[]): string {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
