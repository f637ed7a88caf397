/** Says things to everybody: on the page, and aloud where a screen reader listens. */

import { el } from "./elements";

const polite = el("p", { class: "said", role: "status", "aria-live": "polite" });
const urgent = el("p", { class: "said urgent", role: "alert" });

export const announcements = el("div", { class: "announcements" }, polite, urgent);

export function say(text: string): void {
  urgent.textContent = "";
  polite.textContent = text;
}

export function warn(text: string): void {
  polite.textContent = "";
  urgent.textContent = text;
}
