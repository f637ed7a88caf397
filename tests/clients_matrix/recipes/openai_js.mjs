import OpenAI from "openai";

const client = new OpenAI(); // OPENAI_BASE_URL, OPENAI_API_KEY
const messages = [{ role: "user", content: "The parcel is late." }];
const draft = await client.chat.completions.create({ model: "corll", messages });
const edit = { draft_id: draft.id, text: "Your parcel comes on Friday." };
await client.post("/edits", { body: edit });
