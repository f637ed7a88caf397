import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey } = process.env;
const corll = createOpenAICompatible({ name: "corll", baseURL, apiKey });
const { response } = await generateText({ model: corll("corll"), prompt: "The parcel is late." });
const edit = { draft_id: response.id, text: "Your parcel comes on Friday." };
const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
await fetch(`${baseURL}/edits`, { method: "POST", headers, body: JSON.stringify(edit) });
