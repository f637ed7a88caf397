/** Numbers and times in words. */

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

export function clock(time: Date = new Date()): string {
  return time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** *Units*: seconds since 1970, as the API counts. */
export function day(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

export function shortened(text: string, most: number): string {
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length <= most ? flat : `${Array.from(flat).slice(0, most - 1).join("")}…`;
}
