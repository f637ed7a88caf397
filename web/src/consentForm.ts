/** The switches of consent, in plain words. */

import { changeConsent, user } from "./account";
import { say, warn } from "./announcer";
import { sayError } from "./api";
import type { Consent, ConsentRequest } from "./apiTypes";
import { CHOICES } from "./arms";
import { el, labelled } from "./elements";
import { MASKS } from "./masks";
import { percent } from "./wording";

interface Switch {
  name: keyof Consent;
  label: string;
  on: string;
  off: string;
}

const SWITCHES: Switch[] = [
  {
    name: "store",
    label: "Keep my drafts and edits",
    on: "What you answer, each draft and what you sent in its place are kept on this server, in plain text.",
    off: "Drafts stay in memory for a day at most, and edits are not taken.",
  },
  {
    name: "learn",
    label: "Learn from my edits",
    on: "Your edits teach a model of your own. It may repeat what it learned, to you alone.",
    off: "The plain base model drafts. What was learned is out of use, but not erased.",
  },
  {
    name: "share",
    label: "Share beyond my own model",
    on: "Your texts may be used for more than your own model. Nothing here does so yet.",
    off: "Your texts are used for your own model alone.",
  },
  {
    name: "upstream",
    label: "Send past letters to another service",
    on: "Letters you sent before go along with each request, to the other service whose model drafts here. They leave this machine.",
    off: "The other service whose model drafts here gets your request alone, no past letters.",
  },
];

const MOST_HELD_BACK = 50;

/** Those switches that are asked for, each with what it means as it stands; the last one only where there is such a service. */
export function consentForm(names: (keyof Consent)[]): HTMLElement {
  const rows = SWITCHES.filter(({ name }) => names.includes(name)).map(row);
  return el("div", { class: "consent" }, ...rows);
}

function row(about: Switch): HTMLElement {
  const box = el("input", {
    type: "checkbox",
    role: "switch",
    id: `consent-${about.name}`,
    "aria-describedby": `means-${about.name}`,
    on: { change: () => void change({ [about.name]: box.checked }, () => render()) },
  });
  const meaning = el("p", { class: "hint", id: `means-${about.name}` });
  const label = el("label", { for: box.id }, about.label);
  const element = el("div", { class: "switch" }, box, el("div", {}, label, meaning));
  const render = (): void => {
    const now = user.value?.consent[about.name];
    box.disabled = now === undefined;
    box.checked = now ?? false;
    meaning.textContent = now === undefined ? "…" : now ? about.on : about.off;
    element.hidden = about.name === "upstream" && !user.value?.sends_letters_to;
  };
  user.watch(render);
  return element;
}

/** Which share of drafts the base writes, so that the benefit can be measured. */
export function holdbackField(): HTMLElement {
  const output = el("output", { for: "holdback" });
  const range = el("input", {
    type: "range",
    id: "holdback",
    min: 0,
    max: MOST_HELD_BACK,
    step: 5,
    "aria-describedby": "holdback-means",
    on: {
      input: () => (output.textContent = `${range.value} %`),
      change: () => void change({ holdback: Number(range.value) / 100 }, render),
    },
  });
  const render = (): void => {
    range.value = String(Math.round(100 * (user.value?.holdback ?? 0)));
    output.textContent = percent(user.value?.holdback ?? 0);
  };
  user.watch(render);
  const means =
    "So many of your drafts come from the base model in place of yours, and the desk does not say " +
    "which: only so can be measured what learning brings.";
  return el(
    "div",
    { class: "field" },
    el("label", { for: "holdback" }, "Drafts held back"),
    el("div", { class: "range" }, range, output),
    el("p", { class: "hint", id: "holdback-means" }, means),
  );
}

/** Who drafts: an arm of the user's choice, or the one that a coin finds to save most. */
export function armField(): HTMLElement {
  return choiceField("Who drafts", CHOICES, () => user.value?.arm ?? "auto", (arm) => ({ arm }));
}

/** What is masked of the user's texts before the model learns from them. */
export function maskField(): HTMLElement {
  return choiceField("Masked before learning", MASKS, () => user.value?.mask ?? "none", (mask) => ({ mask }));
}

/** One of several choices, with what it means; `now` is the user's, and `asked` asks for another. */
function choiceField<Choice extends string>(
  title: string,
  choices: Record<Choice, { label: string; means: string }>,
  now: () => Choice,
  asked: (choice: Choice) => ConsentRequest,
): HTMLElement {
  const options = Object.entries<{ label: string }>(choices).map(([value, { label }]) =>
    el("option", { value }, label),
  );
  const select = el(
    "select",
    { on: { change: () => void change(asked(select.value as Choice), render) } },
    ...options,
  );
  const means = el("p", { class: "hint" });
  const render = (): void => {
    select.value = now();
    means.textContent = choices[now()].means;
  };
  user.watch(render);
  return el("div", {}, labelled(title, select), means);
}

async function change(to: ConsentRequest, restore: () => void): Promise<void> {
  try {
    await changeConsent(to);
    say("Done; it holds from the next request on.");
  } catch (error) {
    warn(sayError(error));
    restore();
  }
}
