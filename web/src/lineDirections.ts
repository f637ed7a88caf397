/** Each line runs as its own letters do: Hebrew and Arabic from the right, beside lines of English. */

import { RangeSetBuilder, type Extension } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, type DecorationSet, type ViewUpdate } from "@codemirror/view";

const byItsLetters = Decoration.line({ attributes: { dir: "auto" } });

export function lineDirections(): Extension {
  return [
    EditorView.perLineTextDirection.of(true),
    ViewPlugin.define((view) => new Directions(view), { decorations: ({ lines }) => lines }),
  ];
}

class Directions {
  lines: DecorationSet;

  constructor(view: EditorView) {
    this.lines = inSight(view);
  }

  update(update: ViewUpdate): void {
    if (update.docChanged || update.viewportChanged) this.lines = inSight(update.view);
  }
}

function inSight(view: EditorView): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to; ) {
      const line = view.state.doc.lineAt(at);
      builder.add(line.from, line.from, byItsLetters);
      at = line.to + 1;
    }
  }
  return builder.finish();
}
