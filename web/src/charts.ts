/** Charts in the page's colours: a line with its band, and a table of the same for those who read. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { el, replaceChildren } from "./elements";
import type { Band } from "./rolling";

export interface Curve {
  title: string;
  /** What the chart shows, in a sentence. */
  says: string;
  x: number[];
  xName: string;
  yName: string;
  band: Band;
  points?: number[];
  /** The largest value there can be, where there is one. */
  most?: number;
  /** Where along x something happened, and what. */
  marks?: { at: number; name: string }[];
}

const HEIGHT = 220;
const LAST_ROWS = 50;

export class Chart {
  readonly element = el("figure", { class: "chart" });
  private readonly picture = el("div", { role: "img" });
  private readonly caption = el("figcaption", {});
  private readonly table = el("div", { class: "numbers" });
  private plot: uPlot | null = null;
  private curve: Curve | null = null;

  constructor() {
    const numbers = el("details", {}, el("summary", {}, "As numbers"), this.table);
    this.element.append(this.caption, this.picture, numbers);
    new ResizeObserver(() => this.fit()).observe(this.element);
    // Canvases do not follow the colours of a page by themselves.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(curve: Curve): void {
    this.curve = curve;
    this.caption.textContent = curve.title;
    this.picture.setAttribute("aria-label", `${curve.title}. ${curve.says}`);
    this.draw();
    replaceChildren(this.table, tableOf(curve));
  }

  private draw(): void {
    if (this.curve === null) return;
    this.plot?.destroy();
    const { x, band, points } = this.curve;
    const data = [x, band.low, band.high, band.mean, points ?? band.mean] as uPlot.AlignedData;
    this.plot = new uPlot(options(this.curve, this.width), data, this.picture);
  }

  private fit(): void {
    if (this.plot && this.plot.width !== this.width) this.plot.setSize({ width: this.width, height: HEIGHT });
  }

  private get width(): number {
    return Math.max(200, this.element.clientWidth);
  }
}

function options(curve: Curve, width: number): uPlot.Options {
  const [line, band, dots, text, grid] = ["chart-line", "chart-band", "chart-dots", "text-soft", "edge"].map(colour);
  const axis = { stroke: text!, grid: { stroke: grid!, width: 1 }, ticks: { stroke: grid! } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: (_, from, to) => [from - 0.5, to + 0.5] }, y: { range: (_, low, high) => [Math.min(0, low), curve.most ?? Math.max(high, 0.1) * 1.05] } },
    axes: [
      { ...axis, grid: { show: false }, label: curve.xName, labelSize: 20, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
      { ...axis, label: curve.yName, labelSize: 20, size: 48 },
    ],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { stroke: line!, width: 2, points: { show: curve.x.length === 1 } },
      { stroke: "transparent", points: { show: true, size: 5, fill: dots!, stroke: dots! } },
    ],
    bands: [{ series: [2, 1], fill: band! }],
    hooks: { draw: [(plot) => drawMarks(plot, curve.marks ?? [], text!, grid!)] },
  };
}

function drawMarks(plot: uPlot, marks: { at: number; name: string }[], text: string, line: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = line;
  ctx.fillStyle = text;
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  let free = -Infinity;
  for (const { at, name } of marks) {
    const x = plot.valToPos(at - 0.5, "x", true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    // Names that would lie on each other are left out; the time line below has them all.
    if (x < free) continue;
    ctx.fillText(name, x + 3 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
    free = x + ctx.measureText(name).width + 10 * devicePixelRatio;
  }
  ctx.restore();
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function tableOf({ x, xName, yName, band }: Curve): HTMLElement {
  const from = Math.max(0, x.length - LAST_ROWS);
  const rows = x.slice(from).map((value, index) => {
    const figures = [band.mean, band.low, band.high].map((of) => of[from + index]!.toFixed(2));
    return el("tr", {}, el("th", { scope: "row" }, String(value)), ...figures.map((f) => el("td", {}, f)));
  });
  const heads = [xName, yName, "from", "to"].map((name) => el("th", { scope: "col" }, name));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
}
