/** How a program in TypeScript uses the client; `npm run check` holds that it compiles. */

import { Corll, type DraftFacts, type Edit, type Heard } from "../src/index.js";

export async function teach(client: Corll): Promise<Edit> {
  const draft = await client.chat.completions.create({
    model: "corll",
    messages: [{ role: "user", content: "Tell a customer that the parcel is late." }],
    safety_identifier: "anna",
  });
  const { user } = (draft as typeof draft & { corll: DraftFacts }).corll;
  await client.consent.update({ user, store: true, learn: true });
  // @ts-expect-error: an edit has a text
  await client.edits.create({ draft_id: draft.id });
  return client.edits.create({ draft_id: draft.id, text: "It comes on Friday." });
}

export async function firstVersion(client: Corll): Promise<number> {
  const events: AsyncGenerator<Heard> = await client.events();
  for await (const heard of events) if (heard.event === "version") return heard.data.number;
  return 0;
}
