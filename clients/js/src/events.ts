/** What happens to a user's edits and versions, read from the service's stream. */

import type { Events } from "./apiTypes.js";

/** An event by its name; `data` is of the shape that the name says. */
export type Heard = { [Name in keyof Events]: { event: Name; data: Events[Name] } }[keyof Events];

/** Yield the events of a stream in order. */
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Heard> {
  let event = "";
  let data = "";
  for await (const line of linesOf(body)) {
    if (line.startsWith("event: ")) event = line.slice("event: ".length);
    else if (line.startsWith("data: ")) data = line.slice("data: ".length);
    else if (line === "") {
      if (event && data) yield { event, data: JSON.parse(data) } as Heard;
      event = data = "";
    }
  }
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  } finally {
    await reader.cancel();
  }
}
