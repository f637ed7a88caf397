/** The way in: who is signed in, which page it is, and the frame around it. */

import "./styles/base.css";
import "./styles/frame.css";
import "./styles/desk.css";
import "./styles/pages.css";
import "./styles/charts.css";

import { refreshUser } from "./account";
import { say } from "./announcer";
import { openSession, sayError, SignedOut, Unreachable } from "./api";
import type { Session } from "./apiTypes";
import { standing } from "./connection";
import { listen } from "./events";
import { frame } from "./frame";
import { signInPage } from "./signIn";
import { Outbox } from "./unsent";

type Page = (main: HTMLElement, session: Session, outbox: Outbox) => Promise<void>;

const PAGES: Record<string, { title: string; load: () => Promise<Page> }> = {
  "/": { title: "Desk", load: async () => (await import("./desk")).deskPage },
  "/welcome": { title: "First minutes", load: async () => (await import("./welcome")).welcomePage },
  "/learning": { title: "Learning", load: async () => (await import("./learning")).learningPage },
  "/data": { title: "Your data", load: async () => (await import("./data")).dataPage },
};

const DEAD_LINKS = new Map([
  ["in-vain", "The link was used already, or is too old: it works once, for a quarter of an hour."],
  ["too-often", "The link was not tried, since too many wrong links or keys came from this address. Open it again in a minute."],
]);

async function begin(): Promise<void> {
  const page = PAGES[location.pathname] ?? PAGES["/"]!;
  document.title = `${page.title} – corll`;
  const shown = page.load();
  const session = await signedIn();
  const dead = deadLink();
  if (session === null) return signInPage(dead);
  const main = frame(session);
  if (dead !== undefined) say(`${dead} ${session.user.name} is signed in here.`);
  const outbox = new Outbox(session.user.id);
  refreshUser().catch(() => {});
  listen();
  try {
    await (await shown)(main, session, outbox);
  } finally {
    outbox.start();
  }
}

/** Why the link that led here signs nobody in, which is said once; undefined where none did. */
function deadLink(): string | undefined {
  const why = DEAD_LINKS.get(new URLSearchParams(location.search).get("link") ?? "");
  if (why !== undefined) history.replaceState(null, "", location.pathname);
  return why;
}

/** Null where nobody is; waits where the server is away, since it gave us this page a moment ago. */
async function signedIn(): Promise<Session | null> {
  for (;;) {
    try {
      return await openSession();
    } catch (error) {
      if (error instanceof SignedOut) return null;
      if (!(error instanceof Unreachable)) throw error;
      await untilHere();
    }
  }
}

function untilHere(): Promise<void> {
  return new Promise((resolve) => {
    standing.watch((now) => {
      if (now !== "away") resolve();
    });
  });
}

begin().catch((error: unknown) => {
  document.body.append(sayError(error));
});
