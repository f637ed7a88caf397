/** The frame of every page: where to go, who is signed in, how the connection stands. */

import { announcements, say, warn } from "./announcer";
import { ask, sayError } from "./api";
import type { Session } from "./apiTypes";
import { standing, type Standing } from "./connection";
import { button, el } from "./elements";

const PLACES: [string, string][] = [
  ["/", "Desk"],
  ["/learning", "Learning"],
  ["/data", "Your data"],
  ["/welcome", "First minutes"],
];

const SAID: Record<Standing, string> = {
  here: "",
  away: "The server does not answer. Write on: all is kept in this browser, and sent when it is back.",
  "signed out":
    "Your session has ended. Write on: all is kept in this browser. Run “corll link”, open the link " +
    "in a new tab, and what waits is sent.",
  "another user":
    "Somebody else has signed in in this browser. Your texts are kept for you; to go on, sign in anew.",
};

/** Users who are programs say so by their names. */
const SIMULATED = /^simulated\b/i;

export function frame(session: Session): HTMLElement {
  const main = el("main", { id: "main", tabindex: -1 });
  const banner = el("p", { class: "banner", role: "status" });
  standing.watch((now) => {
    banner.textContent = SAID[now];
  });
  document.body.replaceChildren(
    el("a", { class: "skip", href: "#main" }, "To the page"),
    header(session),
    banner,
    main,
    announcements,
  );
  return main;
}

function header(session: Session): HTMLElement {
  const links = PLACES.map(([path, name]) =>
    el("a", { href: path, "aria-current": path === location.pathname ? "page" : false }, name),
  );
  const { name } = session.user;
  return el(
    "header",
    { class: "top" },
    el("span", { class: "name" }, "corll"),
    el("nav", { "aria-label": "Pages" }, ...links),
    el(
      "span",
      { class: "who" },
      SIMULATED.test(name) && el("strong", { class: "simulated" }, "Simulated writer"),
      el("span", { title: `Drafts by ${session.model}` }, name),
      button("Sign out", () => void signOut(), { class: "quiet" }),
    ),
  );
}

async function signOut(): Promise<void> {
  try {
    await ask("POST", "/v1/session/end", {});
  } catch (error) {
    return warn(sayError(error));
  }
  say("Signed out.");
  location.assign("/");
}
