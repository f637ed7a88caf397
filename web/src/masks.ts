/** What is masked before it is learned from: the choices, and what is said of an edit. */

import type { Edit, User } from "./apiTypes";

export type Mask = User["mask"];

export const MASKS: Record<Mask, { label: string; means: string }> = {
  none: { label: "Nothing", means: "Your model learns from your texts as they are." },
  numbers: {
    label: "Numbers",
    means: "Your model sees a placeholder for each number of four digits or more. What you sent is kept as it is.",
  },
  addresses: {
    label: "Addresses",
    means: "Your model sees a placeholder for each mail or web address. What you sent is kept as it is.",
  },
  both: {
    label: "Numbers and addresses",
    means:
      "Your model sees a placeholder for each number of four digits or more, and for each mail or web address. " +
      "What you sent is kept as it is.",
  },
};

/** Which words of an edit the model does not learn from, once each; empty where there are none. */
export function maskNote(answer: Pick<Edit, "masked">): string {
  const words = [...new Set(answer.masked)].map((word) => `“${word}”`);
  return words.length === 0 ? "" : `Masked before learning: ${words.join(", ")}.`;
}
