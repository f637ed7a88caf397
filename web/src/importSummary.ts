/** What an import brought, in words. */

import type { Import, Interval } from "./apiTypes";
import { count } from "./wording";

const MOST_LISTED = 10;

export function brought(done: Import): string[] {
  const { result } = done;
  const served = result?.version ? `; version ${result.version} drafts now` : "";
  const lines = [`${count(done.used, "text")} of ${done.total} taught the model${served}.`, ...skipped(done)];
  const { edit_cost_before: before, edit_cost_after: after, change, held_out } = result ?? {};
  if (!before || !after) {
    return [...lines, "With fewer than 12 texts none is held out, so the benefit is not measured."];
  }
  const where = `On ${count(held_out ?? 0, "text")} that it never saw,`;
  lines.push(`${where} edit cost was ${figure(before)} before and ${figure(after)} after.`);
  if (change && change.low <= 0 && change.high >= 0) {
    lines.push("The interval of the change holds 0: these texts do not show a difference.");
  }
  const { surprisal_change: nearer } = result ?? {};
  if (nearer) {
    const says =
      nearer.high < 0
        ? "The way you wrote them has become more likely to it"
        : nearer.low > 0
          ? "The way you wrote them has become less likely to it"
          : "How likely the way you wrote them is to it has not clearly changed";
    lines.push(`${says}: ${signed(nearer)} nats a token.`);
  }
  if (result?.taken_back) {
    lines.push("So what it learned from them does not draft; as letters they may stand before your next requests.");
  }
  return lines;
}

/** Which texts teach nothing, and why. */
function skipped({ skipped: all, skipped_texts: listed }: Import): string[] {
  if (!all) return [];
  const lines = (listed ?? []).slice(0, MOST_LISTED).map(({ item, reason }) => `Text ${item} teaches nothing: ${reason}`);
  const more = all - lines.length;
  return more > 0 ? [...lines, `${count(more, "more text")} ${more === 1 ? "teaches" : "teach"} nothing.`] : lines;
}

function signed({ mean, low, high }: Interval): string {
  const [middle, least, most] = [mean, low, high].map((x) => (x > 0 ? "+" : "") + x.toFixed(2));
  return `${middle} (95 %: ${least} to ${most})`;
}

function figure({ mean, low, high }: Interval): string {
  return `${mean.toFixed(2)} (95 %: ${low.toFixed(2)} to ${high.toFixed(2)})`;
}
