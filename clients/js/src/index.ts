/** The client of corll's service: OpenAI's own, and the calls that teach. */

export type * from "./apiTypes.js";
export { Corll, CorllError, DEFAULT_BASE_URL, type CorllOptions } from "./client.js";
export type { Heard } from "./events.js";
export type { Deletable, DraftFilter, EditParams, ImportParams } from "./resources.js";
