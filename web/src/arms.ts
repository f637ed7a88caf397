/** Ways of drafting: what they are called, and how the coin's trial between two of them stands. */

import type { ArmFigure, Arms, User } from "./apiTypes";
import { count, percent } from "./wording";

export type ArmChoice = User["arm"];

export const CHOICES: Record<ArmChoice, { label: string; means: string }> = {
  auto: {
    label: "Whoever saves you most",
    means:
      "Two ways of drafting are tried beside each other: chance decides which of them writes a draft, the desk does " +
      "not say which, and what your edits cost decides. “Learning” says how it stands.",
  },
  both: { label: "Your model, after your letters", means: "What was learned drafts, with past letters of yours before it." },
  memory: { label: "The base model, after your letters", means: "Past letters are used, and what was learned is not." },
  weights: { label: "Your model alone", means: "What was learned drafts, without past letters before it." },
  base: { label: "The base model alone", means: "Neither what was learned nor past letters are used." },
};

/** What is known of the trial under way, and what earlier ones decided. */
export function trialLines({ choice, serving, challenger, share, verdict, costs, decided }: Arms): string[] {
  const lines = decided.map(
    ({ winner, loser, drafts }) => `“${CHOICES[winner].label}” saved you more than “${CHOICES[loser].label}”: decided by ${count(drafts, "draft")}.`,
  );
  if (choice !== "auto") return [...lines, `You chose who drafts: “${CHOICES[choice].label}”.`];
  if (challenger === null || costs.length === 0) return lines;
  const saves = { better: "it saves you edits", worse: "it costs you edits", "not known yet": "whether it saves you edits is not known yet" };
  const told = [serving, challenger].map((arm) => figure(costs.find((one) => one.arm === arm)));
  lines.push(
    `“${CHOICES[serving].label}” drafts, and by chance in ${percent(share)} of cases “${CHOICES[challenger].label}”; ` +
      `${saves[verdict]} (edit cost ${told[1]} against ${told[0]}).`,
  );
  return lines;
}

function figure(one: ArmFigure | undefined): string {
  return one === undefined ? "not known" : `${one.mean.toFixed(2)} in ${count(one.count, "draft")}`;
}
