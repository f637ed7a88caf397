/** The editor: a draft as it comes, then the same text to be edited, with changes marked live. */

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { getOriginalDoc, unifiedMergeView } from "@codemirror/merge";
import { Annotation, EditorState, Prec, type Extension } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";

import { changeMarks, changesOf, type TextChange } from "./changeMarks";
import { lineDirections } from "./lineDirections";

/** Characters; far more than any letter, and few enough to stay quick and to be kept here. */
export const MOST_CHARACTERS = 200_000;

export interface EditorCalls {
  edited: (text: string) => void;
  send: () => void;
  tooLong: (length: number) => void;
}

const UNWRITTEN = "Write here yourself, or ask for a draft.";

const ours = Annotation.define<boolean>();
const DIFF = { scanLimit: 500, timeout: 30 };

export class DraftEditor {
  private readonly view: EditorView;
  /** Editors' states of the drafts that are not shown, so that each keeps its own undo. */
  private readonly states = new Map<string, EditorState>();
  private key = "";

  constructor(
    parent: HTMLElement,
    private readonly calls: EditorCalls,
    private readonly labelledBy: string,
  ) {
    this.view = new EditorView({ parent, state: this.stateOf("", this.reading()) });
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  /** A draft that is coming: it can be read, not edited. */
  watchComing(key: string, text: string): void {
    this.putAway(key);
    this.view.setState(this.stateOf(text, this.reading()));
  }

  append(piece: string): void {
    const end = this.view.state.doc.length;
    this.view.dispatch({ changes: { from: end, insert: piece }, annotations: ours.of(true) });
    const scroller = this.view.scrollDOM;
    scroller.scrollTop = scroller.scrollHeight;
  }

  /** A text to be edited, marked against its draft; an own text has none. */
  edit(key: string, draft: string | null, text: string): void {
    if (this.key === key && !this.view.state.readOnly) return;
    this.putAway(key);
    this.view.setState(this.states.get(key) ?? this.stateOf(text, this.editing(draft)));
    this.states.delete(key);
  }

  clear(): void {
    this.states.clear();
    this.key = "";
    this.view.setState(this.stateOf("", this.reading()));
  }

  focus(): void {
    this.view.focus();
  }

  /** At most so many changes, in order. */
  changes(most?: number): TextChange[] {
    return changesOf(this.view.state, most);
  }

  takeBack(change: TextChange): void {
    const { state } = this.view;
    if (state.sliceDoc(change.from, change.to) !== change.after) return;
    this.view.dispatch({
      changes: { from: change.from, to: change.to, insert: change.before },
      userEvent: "revert",
    });
  }

  takeBackAll(): void {
    const { state } = this.view;
    const draft = getOriginalDoc(state);
    this.view.dispatch({
      changes: { from: 0, to: state.doc.length, insert: draft },
      userEvent: "revert",
    });
  }

  /** Puts the cursor at a change. */
  goTo(change: TextChange): void {
    this.view.dispatch({ selection: { anchor: change.from, head: change.to }, scrollIntoView: true });
    this.view.focus();
  }

  /** To the next change after the cursor, or the one before it; round at the ends. */
  private goOn(step: 1 | -1): boolean {
    const { from } = this.view.state.selection.main;
    const changes = this.changes();
    const next =
      step === 1
        ? (changes.find((change) => change.from > from) ?? changes[0])
        : (changes.findLast((change) => change.from < from) ?? changes.at(-1));
    if (next) this.goTo(next);
    return true;
  }

  private takeBackHere(): boolean {
    const { head } = this.view.state.selection.main;
    const here = this.changes().find(({ from, to }) => from <= head && head <= to);
    if (here) this.takeBack(here);
    return true;
  }

  private putAway(key: string): void {
    if (this.key !== "" && this.key !== key && !this.view.state.readOnly) {
      this.states.set(this.key, this.view.state);
    }
    this.key = key;
  }

  private stateOf(doc: string, extensions: Extension): EditorState {
    return EditorState.create({ doc, extensions: [this.always(), extensions] });
  }

  private send(): boolean {
    this.calls.send();
    return true;
  }

  private always(): Extension {
    const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
    return [
      EditorView.cspNonce.of(nonce),
      EditorView.lineWrapping,
      lineDirections(),
      EditorView.contentAttributes.of({
        "aria-labelledby": this.labelledBy,
        "aria-describedby": "editor-keys",
        spellcheck: "true",
        autocapitalize: "sentences",
      }),
      Prec.highest(keymap.of(["Ctrl-Enter", "Mod-Enter"].map((key) => ({ key, run: () => this.send() })))),
    ];
  }

  private against(draft: string): Extension {
    return unifiedMergeView({
      original: draft,
      gutter: false,
      mergeControls: false,
      highlightChanges: false,
      syntaxHighlightDeletions: false,
      diffConfig: DIFF,
    });
  }

  private reading(): Extension {
    return [EditorState.readOnly.of(true), EditorView.contentAttributes.of({ "aria-readonly": "true" })];
  }

  private editing(draft: string | null): Extension {
    const against = draft === null ? placeholder(UNWRITTEN) : [this.against(draft), changeMarks];
    return [
      against,
      history(),
      keymap.of([
        { key: "F7", run: () => this.goOn(1), shift: () => this.goOn(-1) },
        { key: "F8", run: () => this.takeBackHere() },
        ...historyKeymap,
        ...defaultKeymap,
      ]),
      EditorState.changeFilter.of((transaction) => {
        const { length } = transaction.newDoc;
        if (length <= MOST_CHARACTERS || length <= transaction.startState.doc.length) return true;
        this.calls.tooLong(length);
        return false;
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) this.calls.edited(update.state.doc.toString());
      }),
    ];
  }
}
