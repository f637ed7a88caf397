import { openai } from "@ai-sdk/openai"; // OPENAI_BASE_URL, OPENAI_API_KEY
import { generateText } from "ai";

const { response } = await generateText({ model: openai("corll"), prompt: "The parcel is late." });
const edit = {
  draft_id: response.headers["x-corll-draft-id"],
  text: "Your parcel comes on Friday.",
};
const { OPENAI_BASE_URL: url, OPENAI_API_KEY: key } = process.env;
const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
await fetch(`${url}/edits`, { method: "POST", headers, body: JSON.stringify(edit) });
