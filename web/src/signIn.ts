/** For those who are not signed in: how to. */

import { openSession } from "./api";
import { el } from "./elements";
import { countKeptTexts } from "./kept";
import { count } from "./wording";

const LOOK_AGAIN_MS = 3000;

/** `dead` says why a link led here in vain. */
export function signInPage(dead: string | undefined): void {
  const kept = countKeptTexts();
  document.title = "Sign in – corll";
  document.body.replaceChildren(
    el(
      "main",
      { id: "main", class: "sign-in" },
      el("h1", {}, "Sign in"),
      dead !== undefined && el("p", { role: "alert" }, dead),
      el("p", {}, "The desk opens by a link that works once. Either of these makes one:"),
      el(
        "ul",
        {},
        el("li", {}, el("code", {}, "corll serve"), " prints a link when it starts."),
        el("li", {}, el("code", {}, "corll link"), " prints another, on the machine that serves."),
      ),
      el("p", {}, "Open it in this browser; this page goes on by itself."),
      kept > 0 && el("p", { class: "hint" }, `${count(kept, "text")} kept in this browser: there again once their writer signs in.`),
    ),
  );
  window.setInterval(() => void look(), LOOK_AGAIN_MS);
}

async function look(): Promise<void> {
  if (document.hidden) return;
  await openSession().then(() => location.reload(), () => {});
}
