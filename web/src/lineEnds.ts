/** Line ends as the editor has them: what is compared with its text must not differ by them. */
export class LineEnds {
  private held = "";

  /** A further piece of a text, with LF line ends; a CR at its end waits for what follows. */
  take(piece: string): string {
    const text = this.held + piece;
    this.held = text.endsWith("\r") ? "\r" : "";
    return text.slice(0, text.length - this.held.length).replaceAll(/\r\n?/g, "\n");
  }

  /** What is left at the end of the text. */
  rest(): string {
    const last = this.held === "" ? "" : "\n";
    this.held = "";
    return last;
  }
}
