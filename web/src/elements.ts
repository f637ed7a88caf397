/** Elements of the page, made with their attributes and children. Text is always text. */

export type Child = Node | string | null | undefined | false;

type Listeners = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

export interface Attributes {
  on?: Listeners;
  [name: string]: string | number | boolean | undefined | Listeners;
}

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { on, ...others } = attributes;
  for (const [name, value] of Object.entries(others)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [name, listener] of Object.entries(on ?? {})) {
    element.addEventListener(name, listener as EventListener);
  }
  element.append(...children.filter((child): child is Node | string => isThere(child)));
  return element;
}

export function button(
  label: string,
  act: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  return el("button", { type: "button", on: { click: () => act() }, ...attributes }, label);
}

let ids = 0;

/** A control under its label. */
export function labelled(label: string, control: HTMLElement, hint?: string): HTMLElement {
  control.id ||= `field-${++ids}`;
  const below = hint ? el("p", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  if (below) control.setAttribute("aria-describedby", below.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, below);
}

export function replaceChildren(parent: HTMLElement, ...children: Child[]): void {
  parent.replaceChildren(
    ...children.filter((child): child is Node | string => isThere(child)),
  );
}

function isThere(child: Child): boolean {
  return child !== null && child !== undefined && child !== false && child !== "";
}
