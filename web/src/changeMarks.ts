/** Changes marked where they stand, as on paper: what was taken out struck through, what was put in lit. */

import { getChunks, getOriginalDoc, type Chunk } from "@codemirror/merge";
import { RangeSetBuilder, StateField, type EditorState, type Extension, type Text } from "@codemirror/state";
import { Decoration, EditorView, WidgetType, type DecorationSet } from "@codemirror/view";

export interface TextChange {
  before: string;
  after: string;
  from: number;
  to: number;
}

/** Changes that are marked and walked through; a text with more of them was written anew. */
const MOST = 1000;
const LONGEST_STRUCK = 2000;

const putIn = Decoration.mark({ class: "cm-changedText" });

/** The merge view shows what was taken out as lines above; this shows it in its place instead. */
export const changeMarks: Extension = StateField.define<DecorationSet>({
  create: marks,
  update(before, transaction) {
    const { startState, state } = transaction;
    return getChunks(state)?.chunks === getChunks(startState)?.chunks ? before : marks(state);
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** At most so many changes against the draft, in order. */
export function changesOf(state: EditorState, most = MOST): TextChange[] {
  const chunks = getChunks(state)?.chunks ?? [];
  if (chunks.length === 0) return [];
  const draft = getOriginalDoc(state);
  const found: TextChange[] = [];
  for (const chunk of chunks) {
    for (const change of changesIn(chunk, draft, state.doc)) {
      if (found.push(change) === most) return found;
    }
  }
  return found;
}

function* changesIn(chunk: Chunk, draft: Text, text: Text): Generator<TextChange> {
  for (const change of chunk.changes) {
    // A chunk may end one past the last line's end.
    const from = Math.min(chunk.fromB + change.fromB, text.length);
    const to = Math.min(chunk.fromB + change.toB, text.length);
    const fromDraft = Math.min(chunk.fromA + change.fromA, draft.length);
    const toDraft = Math.min(chunk.fromA + change.toA, draft.length);
    yield { before: draft.sliceString(fromDraft, toDraft), after: text.sliceString(from, to), from, to };
  }
}

function marks(state: EditorState): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  for (const { before, from, to } of changesOf(state)) {
    if (before !== "") builder.add(from, from, Decoration.widget({ widget: new Struck(before), side: -1 }));
    if (from < to) builder.add(from, to, putIn);
  }
  return builder.finish();
}

class Struck extends WidgetType {
  constructor(private readonly text: string) {
    super();
  }

  override eq(other: Struck): boolean {
    return other.text === this.text;
  }

  override toDOM(): HTMLElement {
    const element = document.createElement("del");
    element.className = "cm-deletedText";
    const long = this.text.length > LONGEST_STRUCK;
    element.textContent = long ? `${this.text.slice(0, LONGEST_STRUCK)}…` : this.text;
    return element;
  }
}
