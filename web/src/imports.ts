/** An import under way, and what it brought. */

import { ask, Refused } from "./api";
import { onEvent } from "./events";
import type { PastText } from "./pastTexts";
import { count } from "./wording";

export interface Interval {
  mean: number;
  low: number;
  high: number;
}

export interface Import {
  id: string;
  state: "waiting" | "running" | "done" | "failed";
  total: number;
  used: number;
  result: {
    held_out?: number;
    version?: number | null;
    edit_cost_before?: Interval;
    edit_cost_after?: Interval;
    change?: Interval | null;
  } | null;
  error: string | null;
}

export function startImport(items: PastText[]): Promise<Import> {
  return ask<Import>("POST", "/v1/imports", { items });
}

const LOOK_EVERY_MS = 4000;

/** Shows each state of it, until it is done or gone. */
export function follow(id: string, show: (now: Import | null) => void): void {
  let timer: number | undefined;
  let ended = false;
  const look = async (): Promise<void> => {
    if (ended) return;
    window.clearTimeout(timer);
    try {
      const now = await ask<Import>("GET", `/v1/imports/${encodeURIComponent(id)}`);
      if (ended) return;
      ended = now.state === "done" || now.state === "failed";
      show(now);
    } catch (error) {
      ended = error instanceof Refused && error.status === 404;
      if (ended) show(null);
    }
    if (!ended) timer = window.setTimeout(() => void look(), LOOK_EVERY_MS);
  };
  onEvent("import", (event) => {
    if (event.id === id) void look();
  });
  void look();
}

/** What an import brought, in sentences. */
export function brought(done: Import): string[] {
  const { result } = done;
  const served = result?.version ? `; version ${result.version} drafts now` : "";
  const lines = [`${count(done.used, "text")} of ${done.total} taught the model${served}.`];
  const { edit_cost_before: before, edit_cost_after: after, change, held_out } = result ?? {};
  if (!before || !after) {
    return [...lines, "With fewer than 12 texts none is held out, so the benefit is not measured."];
  }
  const where = `On ${count(held_out ?? 0, "text")} that it never saw,`;
  lines.push(`${where} edit cost was ${figure(before)} before and ${figure(after)} after.`);
  if (change && change.low <= 0 && change.high >= 0) {
    lines.push("The interval of the change holds 0: these texts do not show a difference.");
  }
  return lines;
}

function figure({ mean, low, high }: Interval): string {
  return `${mean.toFixed(2)} (95 %: ${low.toFixed(2)} to ${high.toFixed(2)})`;
}
