/** Starts an import and follows it. */

import { ask, Refused } from "./api";
import type { Import, ImportRequest, PastTextItem } from "./apiTypes";
import { onEvent } from "./events";
import type { Asked } from "./sheet";

export function startImport(items: PastTextItem[], { frame, signAs, template }: Omit<Asked, "prompt">): Promise<Import> {
  const body: ImportRequest = {
    items,
    ...(frame && frame !== "none" ? { frame } : {}),
    ...(signAs ? { sign_as: signAs } : {}),
    ...(template ? { frame_template: template } : {}),
  };
  return ask<Import>("POST", "/v1/imports", body);
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
