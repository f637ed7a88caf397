/** Drafts, as they are written. */

import { answerTo, Refused, Unreachable } from "./api";
import type { ChatChunk, ChatRequest, Error as ErrorAnswer } from "./apiTypes";
import { noteAway } from "./connection";
import { LineEnds } from "./lineEnds";
import { EventReader } from "./serverSentEvents";
import type { Asked } from "./sheet";

/** How ids of worked examples begin; all others are of texts that the user sent. */
const EXAMPLE = "example-";

export interface Drafted {
  id: string;
  text: string;
  /** A version's number; null for the base, undefined where the server does not tell. */
  version: number | null | undefined;
  stored: boolean;
  /** Ended by the limit on its length, or in a loop. */
  cut: boolean;
  looped: boolean;
  /** Facts of earlier letters in it that nobody asked for. */
  leaks: string[];
  /** How many of the user's letters stood before it. */
  letters: number;
}

export interface Wanted extends Asked {
  /** The text that is gone on with: what comes follows it. */
  begun?: string;
  /** `corll`, `base`, or a version: NAME@7. */
  model?: string;
  seed?: number;
  signal?: AbortSignal;
  onPiece?: (piece: string, id: string) => void;
}

/** *Raises*: Refused; Unreachable where the draft breaks off; AbortError by the signal. */
export async function draw(wanted: Wanted): Promise<Drafted> {
  const response = await answerTo("POST", "/v1/chat/completions", bodyOf(wanted), wanted.signal);
  const made: Drafted = {
    id: "",
    text: "",
    version: undefined,
    stored: true,
    cut: false,
    looped: false,
    leaks: [],
    letters: 0,
  };
  const lines = new LineEnds();
  const take = (piece: string): void => {
    if (piece === "") return;
    made.text += piece;
    wanted.onPiece?.(piece, made.id);
  };
  for await (const chunk of chunks(response)) {
    if ("error" in chunk) throw new Refused(500, chunk.error.code ?? "", chunk.error.message, null);
    made.id = chunk.id;
    const [choice] = chunk.choices;
    take(lines.take(choice?.delta.content ?? ""));
    made.cut ||= choice?.finish_reason === "length";
    if (chunk.corll) {
      made.version = chunk.corll.version;
      made.stored = chunk.corll.stored;
      made.looped = (chunk.corll.looped ?? []).length > 0;
      made.leaks = (chunk.corll.leaks ?? []).map((leak) => leak.text);
      made.letters = (chunk.corll.memory ?? []).filter((id) => !id.startsWith(EXAMPLE)).length;
    }
  }
  take(lines.rest());
  return made;
}

function bodyOf({ prompt, begun, frame, hint, signAs, template, ...wanted }: Wanted): ChatRequest {
  const messages: ChatRequest["messages"] = [{ role: "user", content: prompt }];
  if (begun) messages.push({ role: "assistant", content: begun });
  return {
    model: wanted.model ?? "corll",
    messages,
    stream: true,
    ...(frame && frame !== "none" ? { frame } : {}),
    ...(hint ? { hint } : {}),
    ...(signAs ? { sign_as: signAs } : {}),
    ...(template ? { frame_template: template } : {}),
    ...(wanted.seed === undefined ? {} : { seed: wanted.seed }),
  };
}

async function* chunks(response: Response): AsyncGenerator<ChatChunk | ErrorAnswer> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const events = new EventReader();
  for (;;) {
    const { done, value } = await reader.read().catch(brokenOff);
    // What ends without its last word has broken off, however cleanly the connection was closed.
    if (done) brokenOff(null);
    for (const data of events.take(value ?? "")) {
      if (data === "[DONE]") return;
      yield JSON.parse(data) as ChatChunk | ErrorAnswer;
    }
  }
}

function brokenOff(error: unknown): never {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  noteAway();
  throw new Unreachable("The server went away before the draft was finished.");
}
