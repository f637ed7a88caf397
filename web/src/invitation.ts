/** What would make the desk learn: consent, or for a new user texts from before. */

import { changeConsent, user } from "./account";
import { say, warn } from "./announcer";
import { sayError } from "./api";
import { button, el, replaceChildren } from "./elements";

/** An element that is hidden where there is nothing to invite to. */
export function invitation(): HTMLElement {
  const element = el("div", { class: "invitation" });
  user.watch((about) => {
    const isNew = about !== null && about.serving === null && about.waiting === 0;
    const teachesNothing = about !== null && !about.consent.learn;
    replaceChildren(
      element,
      isNew &&
        el(
          "p",
          {},
          el("strong", {}, "New here? "),
          el("a", { href: "/welcome" }, "Start with texts that you sent before"),
          ": your model can learn from them, and they may stand before your first drafts. Or just write.",
        ),
      teachesNothing &&
        el(
          "p",
          {},
          "Your edits teach nothing so far. If you like, a model of your own learns from them. It may " +
            "repeat what it learned, in drafts for you. ",
          button("Learn from my edits", () => void agree(), { class: "quiet" }),
        ),
    );
    element.hidden = !isNew && !teachesNothing;
  });
  return element;
}

async function agree(): Promise<void> {
  try {
    await changeConsent({ store: true, learn: true });
    say("From now on your edits teach. “Your data” has the switch to end it.");
  } catch (error) {
    warn(sayError(error));
  }
}
