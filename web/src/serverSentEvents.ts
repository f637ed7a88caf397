/** The data of server-sent events, out of pieces that are cut anywhere. */
export class EventReader {
  private rest = "";

  /** The data of the events that this piece completes. */
  take(piece: string): string[] {
    this.rest += piece;
    const events = this.rest.split(/\r?\n\r?\n/);
    this.rest = events.pop() ?? "";
    return events.map(dataOf).filter((data) => data !== "");
  }
}

function dataOf(event: string): string {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
