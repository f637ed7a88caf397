/** What the API takes and answers. Generated from its schemas by `make schemas`. */

/** How one draft was answered. */
export interface AnsweredDraft {
  /** When it was answered, in seconds since 1970. */
  created_at: number;
  /** The version that drafted. */
  version_number: number | null;
  /** Whether the reference drafted in a version's place. */
  held_back: boolean;
  /** Whether chance decided who drafted. */
  blind: boolean;
  /** Whether the draft was sent as it was. */
  accepted: boolean;
  /** Characters changed per character sent. */
  edit_cost: number;
  /** Which arm drafted; null where a model was named, and for what is older. */
  arm: "base" | "memory" | "weights" | "both" | null;
}

/** What drafts of an arm cost, on which the coin decided in its present trial. */
export interface ArmFigure {
  /** The mean. */
  mean: number;
  /** The lower end of its interval. */
  low: number;
  /** The upper end of its interval. */
  high: number;
  /** Drafts that were answered. */
  count: number;
  /** Share of them that were sent as they were. */
  accepted: number;
  /** The arm. */
  arm: "base" | "memory" | "weights" | "both";
}

/**
 * Which arm drafts for a user, and what is known of it from drafts that a coin decided on.
 *
 * An arm is `base`, `memory` (behind past letters), `weights` (what was learned) or `both`. Where
 * an upstream drafts, `base` is the bare upstream and `weights` its candidates, reranked.
 */
export interface Arms {
  /** What was chosen; `auto` leaves it to the coin. */
  choice: "auto" | "base" | "memory" | "weights" | "both";
  /** The arm that drafts, where there is what it needs. */
  serving: "base" | "memory" | "weights" | "both";
  /** The arm that is tried beside it; null for none. */
  challenger: "base" | "memory" | "weights" | "both" | null;
  /** The challenger's share of drafts, 0 to 1. */
  share: number;
  /** Whether the challenger is better, by the coin's drafts alone. */
  verdict: "better" | "worse" | "not known yet";
  /** Of the present trial, by arm. */
  costs: ArmFigure[];
  /** Edit cost of the challenger less that of the arm that serves, below 0 where the challenger saves edits; null while either has none. */
  difference: Interval | null;
  /** Earlier trials in order. */
  decided: DecidedTrial[];
  /** Whether the latest edits would have been easier with what was learned, by free evidence, which decides on no arm. */
  learned: "better" | "worse" | "not known yet";
  /** The same of past letters before the request. */
  letters: "better" | "worse" | "not known yet";
}

/** What was drafted in a chat. */
export interface AssistantMessage {
  /** Who speaks. */
  role: "assistant";
  /** The draft. */
  content: string;
  /** Always null: nothing is refused. */
  refusal: null;
}

/** Drafts of which chance decided, unseen, whether a version or the reference wrote them. */
export interface Benefit {
  /** Those of versions. */
  learned: CostFigure;
  /** Those of the reference. */
  held_back: CostFigure;
  /** Below 0 where learning saves edits. */
  difference: Interval;
}

/** What of the tokens read came out of a cache. */
export interface CachedTokens {
  /** Always 0: what is kept costs nobody less. */
  cached_tokens: number;
  /** Always 0. */
  cache_write_tokens: number;
}

/** What an assistant called: a name, and what it was given. */
export interface CalledFunction {
  /** The function's name. */
  name: string;
  /** What it was given, as JSON or as an object. */
  arguments?: string | Record<string, unknown>;
}

/** One choice of a chat's draft. */
export interface ChatChoice {
  /** Which choice, counted from 0. */
  index: number;
  /** The draft. */
  message: AssistantMessage;
  /** Null unless they were asked for. */
  logprobs: ChatLogprobs | null;
  /** Why the draft ended. */
  finish_reason: "stop" | "length";
}

/** An event of a draft that is streamed. */
export interface ChatChunk {
  /** The draft's id, which its edit refers to. */
  id: string;
  /** What this is. */
  object: "chat.completion.chunk";
  /** When it was asked for, in seconds since 1970. */
  created: number;
  /** The model's name as it was asked for. */
  model: string;
  /** The fingerprint of the base model, or `upstream:` and the name of a model. */
  system_fingerprint: string;
  /** One choice; none in a chunk of usage. */
  choices: ChatChunkChoice[];
  /** In the last chunk, where it was asked for; null in the others then, else left out. */
  usage?: Usage | null;
  /** In the chunk that ends the last choice. */
  corll?: DraftFacts;
}

/** A piece of one choice. */
export interface ChatChunkChoice {
  /** Which choice, counted from 0. */
  index: number;
  /** What the chunk adds. */
  delta: ChatDelta;
  /** Those of the piece, where asked for. */
  logprobs: ChatLogprobs | null;
  /** Null until the choice has ended. */
  finish_reason: "stop" | "length" | null;
}

/** A draft in a chat. */
export interface ChatCompletion {
  /** The draft's id, which its edit refers to. */
  id: string;
  /** What this is. */
  object: "chat.completion";
  /** When it was asked for, in seconds since 1970. */
  created: number;
  /** The model's name as it was asked for. */
  model: string;
  /** The fingerprint of the base model, or `upstream:` and the name of a model. */
  system_fingerprint: string;
  /** The choices, the best first. */
  choices: ChatChoice[];
  /** Tokens read and written. */
  usage: Usage;
  /** What corll adds. */
  corll: DraftFacts;
}

/** What a chunk adds to its choice: who speaks, then pieces of text, nothing at last. */
export interface ChatDelta {
  /** Who speaks. */
  role?: "assistant";
  /** A further piece of the draft. */
  content?: string;
}

/** The log-probabilities of a chat's choice. */
export interface ChatLogprobs {
  /** One for each token that begins in the text, in order; none of an empty text. In a stream it comes with the first of the token's text. */
  content: DrawnTokenLogprob[];
  /** Always null: nothing is refused. */
  refusal: null;
}

/** A turn of a conversation. A reply's message can be sent back as the client holds it. */
export interface ChatMessage {
  /** Who speaks; developer is read as system, and tool is what a tool answered. */
  role: "system" | "developer" | "user" | "assistant" | "tool";
  /** What is said, whole or in parts. Only a turn that called tools may have none. */
  content?: string | TextPart[] | null;
  /** Who speaks, of several with one role: handed to the chat template, and kept with the draft. Most templates do not write it. */
  name?: string | null;
  /** Tools that the assistant called: handed to the chat template. Where that writes none, they are refused. */
  tool_calls?: ToolCall[] | null;
  /** Which call a tool answers: handed to the chat template. */
  tool_call_id?: string | null;
  /** Not supported: null, empty, or left out. */
  reasoning_content?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  refusal?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  audio?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  function_call?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  annotations?: null | string | unknown[] | Record<string, unknown>;
}

/** What a draft in a chat is asked for with. */
export interface ChatRequest {
  /** How many of the likeliest tokens in place of each. */
  top_logprobs?: number | null;
  /** What the model's chat template is told beside the messages, as in vLLM's API, such as {"enable_thinking": true}; it is kept with the draft. What the renderer sets itself, such as `messages`, is refused. */
  chat_template_kwargs?: Record<string, unknown> | null;
  /** What the model is told around the user's last message: `reply`, that it is a message which is answered as the user; `write`, that it says what to write; `none`, nothing. The framed message is the prompt that is learned from. */
  frame?: "none" | "reply" | "write" | null;
  /** With a frame: a few words that the text carries out, "yes, Fri, no refund". */
  hint?: string | null;
  /** With a frame: how the user signs. */
  sign_as?: string | null;
  /** With a frame: words in place of its own, with {message}, and {hint} and {name} where these are given; {sender} is who signed the message. A line whose field is empty is left out. */
  frame_template?: string | null;
  /** Which letters that the user sent before stand before this request, in place of the server's setting: `last`, `nearest`, `similar`, `none`. */
  memory?: "none" | "last" | "nearest" | "similar" | null;
  /** Changes nothing. */
  service_tier?: string | null;
  /** Changes nothing. */
  prompt_cache_key?: string | null;
  /** Changes nothing. */
  prompt_cache_retention?: string | null;
  /** Changes nothing here. */
  prompt_cache_options?: unknown;
  /** Changes nothing. */
  prediction?: Record<string, unknown> | null;
  /** Text alone. */
  modalities?: "text"[] | null;
  /** Not supported: medium. */
  verbosity?: "medium" | null;
  /** Not supported: none, null, or left out; see chat_template_kwargs. */
  reasoning_effort?: "none" | null;
  /** Changes nothing: what is too long is refused. */
  truncation?: "auto" | "disabled" | null;
  /** Not supported: null, empty, or left out. */
  context_management?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  suffix?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  tools?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  functions?: null | string | unknown[] | Record<string, unknown>;
  /** Changes nothing, since there are no tools. */
  tool_choice?: "none" | "auto" | null;
  /** Changes nothing, since there are no tools. */
  function_call?: "none" | "auto" | null;
  /** Changes nothing, since there are no tools. */
  parallel_tool_calls?: boolean | null;
  /** Changes nothing here. */
  max_tool_calls?: unknown;
  /** Of the draw; 0 takes the likeliest token. */
  temperature?: number | null;
  /** Draw from the likeliest tokens that hold this probability; 0 takes the likeliest. */
  top_p?: number | null;
  /** Draw from so many of the likeliest tokens; 0 or -1 from all. */
  top_k?: number | null;
  /** Leave out tokens of less than this share of the likeliest's. */
  min_p?: number | null;
  /** Taken off a token's logit as often as it was drawn already. */
  frequency_penalty?: number | null;
  /** Taken off a token's logit once it was drawn. */
  presence_penalty?: number | null;
  /** Divides the logits of tokens that prompt or draft hold already; negative ones are multiplied. 1 changes nothing. */
  repetition_penalty?: number | null;
  /** Added to the logits of tokens, by the ids of the model that drafts. */
  logit_bias?: Record<string, number> | null;
  /** `corll`, `base`, or a version: NAME@7. */
  model: string;
  /** Makes a draft repeatable; random by default. */
  seed?: number | null;
  /** Whether the draft comes as events. */
  stream?: boolean | null;
  /** Of a stream alone. */
  stream_options?: StreamOptions | null;
  /** The older name of safety_identifier. */
  user?: string | null;
  /** For a backend's key: the name of the user it speaks for. */
  safety_identifier?: string | null;
  /** k: responses drawn, of which the best are shown. */
  num_candidates?: number | null;
  /** Whether the draft's R_π is wanted where nothing is ranked by it: two passes. */
  implicit_reward?: boolean | null;
  /** False keeps this draft nowhere; else consent says what is stored. */
  store?: boolean | null;
  /** Pairs of the client's own. `corll_ref` is a reference that it chooses for this draft, by which `POST /v1/edits` finds it. */
  metadata?: Record<string, string> | null;
  /** Choices wanted. */
  n?: number | null;
  /** The most tokens of a choice. */
  max_tokens?: number | null;
  /** Sequences before which a draft ends: up to 4, of up to 200 characters. */
  stop?: string | string[] | null;
  /** The conversation so far. Where the assistant's message is the last, the draft goes on with it, and the edit of that draft is the whole text. */
  messages: ChatMessage[];
  /** The most tokens of a choice. */
  max_completion_tokens?: number | null;
  /** Whether log-probabilities are wanted. */
  logprobs?: boolean | null;
  /** Text alone. */
  response_format?: TextFormat | null;
}

/** A version that never saw what was deleted. */
export interface CleanVersion {
  /** Its number among the user's versions. */
  number: number;
  /** The version's id. */
  id: string;
  /** The SHA-256 of its folder's manifest. */
  manifest_sha256: string | null;
}

/** One choice, preferred to another. */
export interface Comparison {
  /** The comparison's id. */
  id: string;
  /** What this is. */
  object: "comparison";
  /** The better one. */
  chosen: DraftChoice;
  /** The other one. */
  rejected: DraftChoice;
  /** When it was taken, in seconds since 1970. */
  created_at: number;
  /** How far it has come. */
  state: "accepted" | "recorded" | "learned" | "serving" | "set_aside" | "replaced";
  /** Whether it will be learned from, or was. */
  will_learn: boolean;
  /** Why nothing is learned from it. */
  reason: string | null;
  /** The version that learned from it. */
  version: LearnedVersion | null;
}

/** `chosen` is better than `rejected`. */
export interface ComparisonRequest {
  /** The better one. */
  chosen: ComparisonSide;
  /** The other one. */
  rejected: ComparisonSide;
  /** A word of the client's own, by which a repeated request is known. */
  idempotency_key?: string | null;
}

/** One side of a comparison. */
export interface ComparisonSide {
  /** `id` of the draft's reply. */
  draft_id: string;
  /** Which of the draft's choices. */
  choice?: number;
}

/** The switches of a user. */
export interface Consent {
  /** Whether drafts and edits may be kept. */
  store: boolean;
  /** Whether edits may teach the user's adapter. */
  learn: boolean;
  /** Whether they may be used beyond this user. */
  share: boolean;
  /** Whether past letters may go to another service's model, where that drafts. */
  upstream: boolean;
}

/** The switches of consent; what is left out stays as it is. */
export interface ConsentRequest {
  /** Whether drafts and edits may be kept. */
  store?: boolean | null;
  /** Whether edits may teach the user's adapter, and stand before the user's later requests. */
  learn?: boolean | null;
  /** Whether they may be used beyond this user. */
  share?: boolean | null;
  /** Whether past letters may go to another service's model, where that drafts. */
  upstream?: boolean | null;
  /** Share of drafts from the base, to measure the benefit. */
  holdback?: number | null;
  /** What drafts: the `base` alone, behind past letters (`memory`), what was learned (`weights`), `both`, or what a coin finds to save most (`auto`). */
  arm?: "auto" | "base" | "memory" | "weights" | "both" | null;
  /** What is masked of texts before they are learned from: `numbers` of four digits and more, `addresses` of mail and web, `both`, `none`. */
  mask?: "none" | "numbers" | "addresses" | "both" | null;
  /** Whether edits that came before consent may be learned from too. */
  include_past?: boolean;
}

/** A mean edit cost with its 95 % interval. */
export interface CostFigure {
  /** The mean. */
  mean: number;
  /** The lower end of its interval. */
  low: number;
  /** The upper end of its interval. */
  high: number;
  /** Drafts that were answered. */
  count: number;
  /** Share of them that were sent as they were. */
  accepted: number;
}

/** A trial between two arms that the coin decided. */
export interface DecidedTrial {
  /** The arm that served from then on. */
  winner: "base" | "memory" | "weights" | "both";
  /** The other one. */
  loser: "base" | "memory" | "weights" | "both";
  /** The drafts that decided it. */
  drafts: number;
  /** When that was, in seconds since 1970. */
  decided_at: number;
  /** The model of another service that wrote these; left out where our own did. */
  upstream?: string;
}

/** Something that is gone from now on. */
export interface Deleted {
  /** What was deleted. */
  id: string;
  /** What kind of thing it was. */
  object: "key";
  /** Always true. */
  deleted: true;
}

/** How much was deleted. */
export interface DeletedCounts {
  /** Drafts, with their prompts and candidates. */
  drafts?: number;
  /** Edits, the earlier ones of the same text included. */
  edits?: number;
  /** Comparisons of drafts. */
  comparisons?: number;
  /** Pairs to learn from. */
  preferences?: number;
  /** Texts of imports. */
  imported_texts?: number;
}

/** A response that is gone from now on or, in a dry run, would be. */
export interface DeletedResponse {
  /** The response's id. */
  id: string;
  /** What it was. */
  object: "response";
  /** False in a dry run. */
  deleted: boolean;
  /** What was deleted with it, responses that followed it included, and what serves now. */
  receipt: Receipt;
}

/** One choice of a draft. */
export interface DraftChoice {
  /** The draft's id. */
  draft_id: string;
  /** Which of its choices, counted from 0. */
  choice: number;
}

/** What `corll` adds to a draft. A blind measurement does not tell which version drafted. */
export interface DraftFacts {
  /** Responses that were drawn. */
  candidates: number;
  /** R_π of the first choice in nats; null where nothing was ranked by it. */
  implicit_reward: number | null;
  /** The id of the user whom the draft is for. */
  user: string;
  /** Whether the draft is kept; only then it can teach. False too while the database is away; an edit that comes within a day has it kept. */
  stored: boolean;
  /** `request` (store: false, or what is no draft), `consent` (its user has not agreed) or `database` (which is away); left out where the draft is kept. */
  not_stored_because?: "request" | "consent" | "database";
  /** The number of the version that drafted, or chose among an upstream's drafts; null for the reference, and the bare upstream; left out while blind. */
  version?: number | null;
  /** True where the draft goes on with the assistant's last message: the draft, and with it its edit, is the whole text. Left out otherwise. */
  goes_on?: boolean;
  /** How many drafts were thrown away unseen, since they repeated themselves or opened as an AI's; left out where none was. */
  thrown_away?: number;
  /** The choices that were stopped since they repeated themselves; left out where none was. */
  looped?: number[];
  /** What stood before the request, in its order: ids of the user's edits, of imported texts and of worked examples; left out where nothing did. */
  memory?: string[];
  /** Facts of these texts that stand in the draft though neither the request nor most of the user's texts hold them, to be looked at before it is sent; left out where there are none. */
  leaks?: LeakedFact[];
  /** Which arm drafted: `base`, `memory` (behind past letters), `weights` (what was learned) or `both`; left out while blind, and where a model was named. */
  arm?: "base" | "memory" | "weights" | "both";
  /** `upstream` where another service's model drafted; left out where our own did. */
  drafted_by?: "upstream";
  /** That model, by the upstream's name for it; left out where our own drafted. */
  upstream_model?: string;
  /** Fields of the request that changed nothing; left out where there was none. */
  ignored?: string[];
  /** True where chance decided who drafts; left out otherwise. */
  blind?: boolean;
}

/** A draft as it is kept, with what became of it. */
export interface DraftRecord {
  /** The draft's id. */
  id: string;
  /** What this is. */
  object: "draft";
  /** When it was asked for, in seconds since 1970. */
  created_at: number;
  /** Whether it answers or continues. */
  kind: "chat" | "text";
  /** What was answered, as the model was told it. */
  prompt: string | PromptMessage[];
  /** What the user wrote of a framed prompt; null without a frame, and of drafts from before it was kept. */
  asked: FramedMessage | null;
  /** The version that drafted; null for the reference, and until a blind draft has its edit. */
  version: number | null;
  /** Which arm drafted: `base`, `memory`, `weights` or `both`; null where a model was named, and until a blind draft has its edit. */
  arm: "base" | "memory" | "weights" | "both" | null;
  /** The model of another service that drafted; left out where our own did. */
  upstream?: string;
  /** What stood before the prompt, in its order: ids of edits, of imported texts and of worked examples. */
  memory: string[];
  /** Whether chance decided who drafted. */
  blind: boolean;
  /** The choices, the best first. */
  choices: ShownText[];
  /** Whether it was drawn to its end. */
  status: "complete" | "cancelled";
  /** Where it came from. */
  source: "live" | "import";
  /** Its edits. */
  edits: EditRecord[];
}

/** A page of drafts, the newest first. */
export interface Drafts {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: DraftRecord[];
  /** Whether there are older ones. */
  has_more: boolean;
}

/** A token that was drawn, with the likeliest ones in its place. */
export interface DrawnTokenLogprob {
  /** The token as text, or `bytes:\xe2\x82` where it is a part of a character. */
  token: string;
  /** Its log-probability in nats, at temperature 1. */
  logprob: number;
  /** Its UTF-8 bytes, perhaps a part of a character. Those of all make up the text; of a token in which a stop sequence cut it, they go on beyond it. */
  bytes: number[];
  /** The likeliest tokens in its place, and the token itself by the same number. */
  top_logprobs: TokenLogprob[];
}

/** What became of a draft, and how far it has come: recorded, then learned, then serving. */
export interface Edit {
  /** The edit's id. */
  id: string;
  /** What this is. */
  object: "edit";
  /** The draft that it was made of. */
  draft_id: string;
  /** Which of the draft's choices, counted from 0. */
  choice: number;
  /** The text that was sent in the end. */
  text: string;
  /** Whether the draft was sent as it was. */
  accepted: boolean;
  /** Characters changed per character sent. */
  edit_cost: number;
  /** When it was taken, in seconds since 1970. */
  created_at: number;
  /** How far it has come. */
  state: "accepted" | "recorded" | "learned" | "serving" | "set_aside" | "replaced";
  /** Whether it will be learned from, or was. */
  will_learn: boolean;
  /** Why nothing is learned from it. */
  reason: string | null;
  /** The version that learned from it. */
  version: LearnedVersion | null;
  /** What is masked in it before it is learned from, in order: the learner sees a placeholder there. */
  masked: string[];
}

/** An edit of the user's was taken. */
export interface EditEvent {
  /** The edit's id. */
  id: string;
  /** Its state now. */
  state: "accepted" | "recorded" | "learned" | "serving" | "set_aside" | "replaced";
  /** Characters changed per character sent. */
  edit_cost: number;
}

/** An edit as the list of drafts tells of it. */
export interface EditRecord {
  /** The edit's id. */
  id: string;
  /** Which of the draft's choices, counted from 0. */
  choice: number;
  /** The text that was sent in the end. */
  text: string;
  /** As it was taken. */
  state: "accepted" | "recorded" | "replaced";
  /** Whether the draft was sent as it was. */
  accepted: boolean;
  /** Characters changed per character sent. */
  edit_cost: number;
  /** When it was taken, in seconds since 1970. */
  created_at: number;
}

/** What the user sent in place of a draft. */
export interface EditRequest {
  /** `id` of the draft's reply. */
  draft_id?: string;
  /** In place of draft_id: the client's own reference of the draft, which it gave as metadata.corll_ref or in the header x-client-request-id. */
  ref?: string;
  /** In place of draft_id: the draft's text as the client has it. It is looked for among the user's latest 200 drafts; white space makes no difference. */
  draft_text?: string;
  /** In place of draft_id: the conversation as the client has it, the draft last. It tells drafts of one text apart. */
  messages?: ChatMessage[];
  /** The text that was sent in the end. */
  text: string;
  /** Which of the draft's choices. */
  choice?: number;
  /** For a backend's key: the name of the user it speaks for. */
  user?: string | null;
  /** A word of the client's own, by which a repeated request is known. */
  idempotency_key?: string | null;
}

/** A session that is over. */
export interface EndedSession {
  /** What this is. */
  object: "session";
  /** Always true. */
  ended: true;
}

/** A version that saw what was deleted: its weights are gone. */
export interface ErasedVersion {
  /** The id of its user. */
  user: string;
  /** Its number among that user's versions. */
  number: number;
  /** The version's id. */
  id: string;
  /** The SHA-256 of its folder's manifest. */
  manifest_sha256: string | null;
}

/** An answer that is an error, in the shape of OpenAI's. */
export interface Error {
  /** What went wrong. */
  error: ErrorDetail;
}

/** What went wrong. `code` is for programs, `message` for people. */
export interface ErrorDetail {
  /** What went wrong, and what to do. */
  message: string;
  /** The kind of error, by its status. */
  type: string;
  /** The field that was wrong, where it was one. */
  param: string | null;
  /** The error's name, for programs. */
  code: string | null;
}

/** A line of an export: a record of the store, with its own fields beside `record`. */
export interface ExportLine {
  /** What kind of record it is. */
  record: "user" | "draft" | "edit" | "comparison" | "preference" | "import" | "import_item" | "coin" | "trial" | "start" | "lineage" | "version" | "deletion" | "audit";
  [more: string]: unknown;
}

/** Something that is gone from now on or, in a dry run, would be. */
export interface Forgotten {
  /** What was deleted. */
  id: string;
  /** What kind of thing it was. */
  object: "edit" | "draft" | "import" | "texts" | "model" | "user";
  /** False in a dry run. */
  deleted: boolean;
  /** What was deleted with it, and what serves now. */
  receipt: Receipt;
}

/** What a model is told around a message. */
export interface Frame {
  /** Its name, for `frame` of a chat completion. */
  id: string;
  /** What this is. */
  object: "frame";
  /** Its words for a user with a name, with {message}, {hint}, {name} and {sender}, who signed the message; a line whose field is empty is left out. */
  template: string;
  /** Its words for a user who gives no name, without {name}. */
  template_without_name: string;
}

/** What the user wrote of a framed prompt, by the names of a chat completion's fields. */
export interface FramedMessage {
  /** The frame around the message. */
  frame: "none" | "reply" | "write";
  /** The user's last message, as it was sent. */
  message: string;
  /** What the draft was to carry out; empty for nothing. */
  hint: string;
  /** How the user signs; empty for nothing. */
  sign_as: string;
  /** The words in place of the frame's own. */
  frame_template: string | null;
}

/** The frames around a message. */
export interface Frames {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Frame[];
}

/** A tool that the assistant called earlier: a part of the turn that its message began. */
export interface FunctionCallItem {
  /** The function's name. */
  name: string;
  /** What it was given, as JSON or as an object. */
  arguments?: string | Record<string, unknown>;
  /** What this is. */
  type: "function_call";
  /** What its answer refers to. */
  call_id?: string;
  /** Changes nothing here. */
  id?: unknown;
  /** Changes nothing here. */
  status?: unknown;
}

/** What a tool answered earlier in the conversation. */
export interface FunctionOutputItem {
  /** What this is. */
  type: "function_call_output";
  /** Which call this answers. */
  call_id?: string;
  /** The answer, whole or in parts. */
  output: string | TextInput[];
  /** Changes nothing here. */
  id?: unknown;
  /** Changes nothing here. */
  status?: unknown;
}

/** The process answers. */
export interface Health {
  /** Always ok. */
  status: "ok";
}

/** Past texts that the learner goes through. */
export interface Import {
  /** The import's id. */
  id: string;
  /** What this is. */
  object: "import";
  /** The id of the user whose texts they are. */
  user: string;
  /** How far it has come. */
  state: "waiting" | "running" | "done" | "failed";
  /** Texts that were handed over. */
  total: number;
  /** Texts that were learned from or measured with so far. */
  used: number;
  /** Texts that teach nothing; `skipped_texts` says why. */
  skipped?: number;
  /** The first 100 of these, in order of the import. */
  skipped_texts?: SkippedText[];
  /** What it brought, once it is done. */
  result: ImportResult | null;
  /** Why it failed. */
  error: string | null;
  /** When it began, in seconds since 1970. */
  created_at: number;
  /** When it ended, in seconds since 1970. */
  finished_at: number | null;
}

/** An import of the user's got further. */
export interface ImportEvent {
  /** The import's id. */
  id: string;
  /** Its state now. */
  state: "waiting" | "running" | "done" | "failed";
  /** Texts that were learned from or measured with so far. */
  used: number;
  /** Texts that were handed over. */
  total: number;
}

/**
 * Past texts of one user, best in the frame that drafts will be asked for in.
 *
 * What an item says of how it is signed comes before what is said of all.
 */
export interface ImportRequest {
  /** The texts, in order. */
  items: PastTextItem[];
  /** For a backend's key: the name of the user it speaks for. */
  user?: string | null;
  /** What the model is told around the user's last message: `reply`, that it is a message which is answered as the user; `write`, that it says what to write; `none`, nothing. The framed message is the prompt that is learned from. */
  frame?: "none" | "reply" | "write" | null;
  /** With a frame: how the user signs. */
  sign_as?: string | null;
  /** With a frame: words in place of its own, with {message}, and {hint} and {name} where these are given; {sender} is who signed the message. A line whose field is empty is left out. */
  frame_template?: string | null;
}

/**
 * What an import changed, on the texts that were held out; empty where none were.
 *
 * Where texts were not made from the model's drafts, surprisal tells what edit cost cannot.
 */
export interface ImportResult {
  /** Texts that it never learned from. */
  held_out?: number;
  /** The version that drafts now; null for the reference. */
  version?: number | null;
  /** Whether what was learned was taken out of use, since it made no held-out text likelier. */
  taken_back?: boolean;
  /** Characters changed per character sent, before. */
  edit_cost_before?: Interval;
  /** The same, after. */
  edit_cost_after?: Interval;
  /** Of the mean edit cost, relative to before: -0.5 means half the edits. Null where it was 0. */
  change?: Interval | null;
  /** How unlikely the texts were that were sent, before, in nats a token. */
  surprisal_before?: Interval;
  /** The same, after. */
  surprisal_after?: Interval;
  /** The difference of the two. */
  surprisal_change?: Interval;
}

/** A page of imports, the newest first. */
export interface Imports {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Import[];
  /** Whether there are older ones. */
  has_more: boolean;
}

/** Why a draft ended before its end. */
export interface IncompleteDetails {
  /** At its longest; null where its client left. */
  reason: "max_output_tokens" | null;
}

/** A mean with its 95 % interval. */
export interface Interval {
  /** The mean. */
  mean: number;
  /** The lower end of its interval. */
  low: number;
  /** The upper end of its interval. */
  high: number;
}

/** A key, without its secret. */
export interface Key {
  /** What this is. */
  object: "key";
  /** The key's id. */
  id: string;
  /** What it may do. */
  scope: "admin" | "backend" | "user";
  /** The name space of its users. */
  namespace: string;
  /** Scope user: whose key it is. */
  user_id: string | null;
  /** What it is for. */
  label: string;
  /** Requests a minute; null for the server's. */
  rate_per_minute: number | null;
  /** When it was made, in seconds since 1970. */
  created_at: number;
  /** When it ended or is going to, in seconds. */
  revoked_at: number | null;
}

/** A new key. A backend's keys for users are in its own name space. */
export interface KeyRequest {
  /** What it may do. */
  scope: "admin" | "backend" | "user";
  /** What it is for. */
  label?: string;
  /** Scope user: whose key it is. */
  user?: string | null;
  /** Scope backend: the name space of its users; by default a new one. */
  namespace?: string | null;
  /** Requests a minute; the server's own by default. */
  rate_per_minute?: number | null;
}

/** How a key gives its place to another. */
export interface KeyRotation {
  /** Seconds for which the old key still works, 0 to 30 days; a day by default. */
  overlap_s?: number;
}

/** Keys, without their secrets. */
export interface Keys {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Key[];
}

/** A name, number, date or the like that a draft has from a text that stood before it. */
export interface LeakedFact {
  /** In which choice, counted from 0. */
  choice: number;
  /** Where it begins there, in characters. */
  start: number;
  /** Where it ends. */
  end: number;
  /** What stands there. */
  text: string;
  /** What it is: a name, number, date, time, sum, and so on. */
  kind: string;
  /** The id of the text that it comes from. */
  memory: string;
}

/** Whose edits are to be learned from now, though fewer than N wait. */
export interface LearnRequest {
  /** For a backend's key: the name of the user it speaks for. */
  user?: string | null;
}

/** The version that learned from something. */
export interface LearnedVersion {
  /** Its number, counted from 1. */
  number: number;
  /** Its state now. */
  state: "candidate" | "serving" | "retired" | "rejected";
}

/** What was asked of the learner. */
export interface Learning {
  /** What this is. */
  object: "learn";
  /** Whether a step is going to be taken. */
  queued: boolean;
  /** Preferences of the user that wait to be learned from. */
  waiting: number;
  /** How the learner is. */
  learner: "off" | "starting" | "ready" | "down";
}

/** What learning brought a user. Figures are null while there is nothing to average. */
export interface LearningReport {
  /** What this is. */
  object: "learning";
  /** Every answered draft, in order. */
  answers: AnsweredDraft[];
  /** Of all of them. */
  edit_cost: CostFigure | null;
  /** Of those that versions wrote. */
  edit_cost_learned: CostFigure | null;
  /** Of those that were held back. */
  edit_cost_held_back: CostFigure | null;
  /** The two sides of the blind measurement. */
  benefit: Benefit | null;
  /** Which arm drafts, and how it compares with another. */
  arms: Arms;
}

/** A link that signs a browser in, once. */
export interface Link {
  /** What this is. */
  object: "link";
  /** Where it points, on the service's own host. */
  path: string;
  /** How long it can be used, in seconds. */
  lasts_s: number;
}

/** Whom a link signs in. */
export interface LinkRequest {
  /** For a backend's key: the name of the user it speaks for. */
  user?: string | null;
}

/** Letters of one kind of request, the newest first. */
export interface Memory {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: RememberedText[];
  /** Whether there are older ones. */
  has_more: boolean;
  /** Whether the user agreed that texts are kept and learned from, without which none stands before a request. */
  remembers: boolean;
}

/** The user's say in whether a letter stands before requests. */
export interface MemoryMarkRequest {
  /** `pinned`: before every request of its kind; `skipped`: before none; null: where it is chosen, as others are. */
  mark: "pinned" | "skipped" | null;
}

/** A turn of a conversation. A reply's message can be sent back as the client holds it. */
export interface MessageItem {
  /** May be left out. */
  type?: "message";
  /** Who speaks; developer is read as system. */
  role: "system" | "developer" | "user" | "assistant";
  /** What is said, whole or in parts. */
  content: string | TextInput[];
  /** Changes nothing here. */
  id?: unknown;
  /** Changes nothing here. */
  status?: unknown;
  /** Changes nothing here. */
  phase?: unknown;
}

/** A name that drafts can be asked of. */
export interface Model {
  /** `corll`, `base`, or a version: NAME@7. */
  id: string;
  /** What this is. */
  object: "model";
  /** When it was made, in seconds since 1970; else 0. */
  created: number;
  /** Always corll. */
  owned_by: "corll";
  /** The base model. */
  base: string;
}

/** A draft, as OpenAI's newer API shows it. */
export interface ModelResponse {
  /** The draft's id, which its edit refers to. */
  id: string;
  /** What this is. */
  object: "response";
  /** When it was asked for, in seconds since 1970. */
  created_at: number;
  /** How far it is. */
  status: "in_progress" | "completed" | "incomplete" | "failed";
  /** Always false. */
  background: false;
  /** Why it failed; null where it did not. */
  error: ResponseFailure | null;
  /** Why it is incomplete. */
  incomplete_details: IncompleteDetails | null;
  /** As they were given. */
  instructions: string | null;
  /** As it was asked for. */
  max_output_tokens: number | null;
  /** As they were given. */
  metadata: Record<string, string>;
  /** The model's name as it was asked for. */
  model: string;
  /** The draft: one message. */
  output: OutputMessage[];
  /** Changes nothing: there are no tools. */
  parallel_tool_calls: boolean;
  /** The response that this one follows. */
  previous_response_id: string | null;
  /** Whether it can be asked for again: for good, or for a day where its user has not agreed to storing. */
  store: boolean;
  /** As it was asked for. */
  temperature: number | null;
  /** How the text comes. */
  text: PlainText;
  /** There are no tools. */
  tool_choice: "none";
  /** Always empty. */
  tools: unknown[];
  /** As it was asked for. */
  top_p: number | null;
  /** What is too long is refused. */
  truncation: "disabled";
  /** Null before the end. */
  usage: ResponseUsage | null;
  /** What corll adds, at the end. */
  corll?: DraftFacts;
  /** Of a response that is read again: what was sent in its place, by its latest edit. Left out where there is none. */
  sent?: string;
}

/** The models that can be asked for. */
export interface Models {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Model[];
}

/** A key that was just made. */
export interface NewKey {
  /** What this is. */
  object: "key";
  /** The key's id. */
  id: string;
  /** What it may do. */
  scope: "admin" | "backend" | "user";
  /** The name space of its users. */
  namespace: string;
  /** Scope user: whose key it is. */
  user_id: string | null;
  /** What it is for. */
  label: string;
  /** Requests a minute; null for the server's. */
  rate_per_minute: number | null;
  /** When it was made, in seconds since 1970. */
  created_at: number;
  /** When it ended or is going to, in seconds. */
  revoked_at: number | null;
  /** The secret, which is shown this once. */
  key: string;
}

/** A user, made before their first draft. */
export interface NewUserRequest {
  /** By which the key's requests name the user. */
  name: string;
  /** What the user agrees to from the start. */
  consent?: ConsentRequest;
}

/** What a stream of OpenAI's may hold beside its events; none is added here. */
export interface Obfuscation {
  /** Changes nothing: none is added. */
  include_obfuscation?: boolean;
}

/** What was drafted. */
export interface OutputMessage {
  /** The message's id, by which a later request may refer to it. */
  id: string;
  /** What this is. */
  type: "message";
  /** Who speaks. */
  role: "assistant";
  /** How far it is. */
  status: "in_progress" | "completed" | "incomplete" | "failed";
  /** The draft; empty before it begins. */
  content: OutputText[];
}

/** The text of a response's message. */
export interface OutputText {
  /** What this is. */
  type: "output_text";
  /** The draft. */
  text: string;
  /** Always empty. */
  annotations: unknown[];
  /** Empty unless they were asked for. */
  logprobs: DrawnTokenLogprob[];
}

/** The frozen model that a user's versions start from. */
export interface OwnReference {
  /** Its number among all references, counted from 1. */
  number: number;
  /** Whether it is the base or an adapter. */
  kind: "base" | "adapter";
  /** What it is called. */
  name: string;
  /** Whether it passed an examination before it served; the base needs none. */
  examined: boolean;
}

/** A text that was sent, what it answered, and the draft it was made from if there was one. */
export interface PastTextItem {
  /** What it answered: a text, or a conversation. */
  prompt: string | ChatMessage[];
  /** The text that was sent. */
  sent: string;
  /** The draft that it was made from. */
  draft?: string | null;
  /** With a frame: a few words that the text carries out, "yes, Fri, no refund". */
  hint?: string | null;
  /** With a frame: how the user signs. */
  sign_as?: string | null;
}

/** The format of a text. */
export interface PlainFormat {
  /** What this is. */
  type: "text";
}

/** Settings of the text, which is always plain. */
export interface PlainText {
  /** Plain. */
  format: PlainFormat;
}

/** A turn of a conversation. */
export interface PromptMessage {
  /** Who spoke: system, user, assistant or tool. */
  role: string;
  /** What was said. */
  content: string;
}

/** Weights were removed. */
export interface Prune {
  /** What this is. */
  object: "prune";
  /** The numbers of their versions. */
  removed: number[];
}

/** Whether drafts can be drawn. */
export interface Readiness {
  /** Whether drafts can be drawn. */
  status: "ready" | "unavailable";
  /** Whether the engine works. */
  drafting: "ok" | "down";
  /** Whether the store can be read. */
  store: "ok" | "down";
  /** How the learner is. */
  learner: "off" | "starting" | "ready" | "down";
}

/** Settings of models that reason before they write, which none here does apart. */
export interface ReasoningSettings {
  /** Not supported: none, null, or left out; see chat_template_kwargs. */
  effort?: "none" | null;
  /** Changes nothing here. */
  summary?: unknown;
  /** Changes nothing here. */
  generate_summary?: unknown;
}

/** What of the tokens written was reasoning. */
export interface ReasoningTokens {
  /** Always 0: it is a part of the text. */
  reasoning_tokens: number;
}

/** What a deletion did. It holds no text, and is kept after its user is gone. */
export interface Receipt {
  /** What this is. */
  object: "deletion";
  /** The deletion's id. */
  id: string;
  /** What was deleted. */
  kind: "edit" | "draft" | "import" | "texts" | "model" | "user" | "age";
  /** The id of what was deleted. */
  subject: string;
  /** The id of the user. */
  user: string;
  /** When, in seconds since 1970. */
  deleted_at: number;
  /** Of kind `age`: the texts of that time and before went, in seconds since 1970. */
  until?: number | null;
  /** How many rows of each kind went. */
  counts: DeletedCounts;
  /** Versions that saw it, erased. */
  erased: ErasedVersion[];
  /** Numbers of references that were made of such a version, erased too. */
  references: number[];
  /** What serves from the request on; null for the reference, with nothing learned. */
  stands_in: CleanVersion | null;
  /** What is learned again without it. */
  replay: Replay;
  /** The version that learned the rest without it, once that serves. */
  first_without: CleanVersion | null;
  /** Drafts that stay though an erased version wrote them: they may repeat it. */
  drafts_of_erased: number;
  /** Drafts that stay though it stood before their prompts: they may repeat it. */
  drafts_behind: number;
  /** Whether its bytes are gone from folders and database; else the next start of the service goes on. */
  cleaned: boolean;
  /** The SHA-256 of what does not change of this receipt. */
  sha256: string;
}

/** A user's deletions, the newest first. */
export interface Receipts {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Receipt[];
}

/** A frozen model that users' weights start from. */
export interface Reference {
  /** What this is. */
  object: "reference";
  /** Its number among all references, counted from 1. */
  number: number;
  /** Whether it is the base or an adapter. */
  kind: "base" | "adapter";
  /** What it is called. */
  name: string;
  /** The reference's id. */
  id: string;
  /** The fingerprint of its weights. */
  fingerprint: string;
  /** The base model that it belongs to. */
  base_model: string;
  /** The fingerprint of that base. */
  base_fingerprint: string;
  /** When it was taken in, in seconds since 1970. */
  created_at: number;
}

/** The message of an earlier response, by its id: it stands as it was edited. */
export interface ReferenceItem {
  /** What this is. */
  type: "item_reference";
  /** The id of a response's message: msg_…. */
  id: string;
}

/** A frozen model that users' versions start from. */
export interface ReferenceName {
  /** Its number among all references, counted from 1. */
  number: number;
  /** Whether it is the base or an adapter. */
  kind: "base" | "adapter";
  /** What it is called. */
  name: string;
}

/** A start from an adapter that does not serve: what served before goes on. */
export interface ReferenceStart {
  /** What the user was to start from. */
  reference: ReferenceName;
  /** `examining`, or `rejected`. */
  state: "examining" | "started" | "unexamined" | "rejected" | "withdrawn";
  /** Why it was rejected. */
  reasons: string[];
  /** When it was asked for, in seconds since 1970. */
  asked_at: number;
}

/** The references. */
export interface References {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Reference[];
}

/** A letter that a user sent, and what was asked for it. */
export interface RememberedText {
  /** The id of the edit or of the imported text. */
  id: string;
  /** What was asked, as the model reads it. */
  asked: string;
  /** What was sent. */
  text: string;
  /** Whether it stands before every request of its kind, or before none; null: where it is chosen. */
  mark: "pinned" | "skipped" | null;
}

/** What is learned again without what was deleted. */
export interface Replay {
  /** How far it is. */
  state: "none" | "waiting" | "done" | "rejected" | "withdrawn";
  /** Preferences that are to be learned again. */
  edits: number;
  /** How long that takes, by the steps of the same weights; null where unknown. */
  seconds: number | null;
  /** Where it could not be computed as before, so that last bits may differ: by other instructions, device or precision. */
  differs?: string[];
}

/** What was set aside waits again. */
export interface Requeue {
  /** What this is. */
  object: "requeue";
  /** How many preferences. */
  preferences: number;
}

/** An event of a response that is streamed; each type has the fields it has in OpenAI's API. */
export interface ResponseEvent {
  /** The event's name. */
  type: "response.created" | "response.in_progress" | "response.output_item.added" | "response.content_part.added" | "response.output_text.delta" | "response.output_text.done" | "response.content_part.done" | "response.output_item.done" | "response.completed" | "response.incomplete" | "response.failed";
  /** Counts the events of a stream, from 0. */
  sequence_number: number;
  /** The response as it stands. */
  response?: ModelResponse;
  /** Always 0. */
  output_index?: number;
  /** Always 0. */
  content_index?: number;
  /** The message's id. */
  item_id?: string;
  /** The message. */
  item?: OutputMessage;
  /** Its text, with what belongs to it. */
  part?: OutputText;
  /** A further piece of the draft. */
  delta?: string;
  /** The whole draft. */
  text?: string;
  /** Those of the piece. */
  logprobs?: DrawnTokenLogprob[];
}

/** Why there is no draft. */
export interface ResponseFailure {
  /** The error's name, for programs. */
  code: string;
  /** What went wrong, and what to do. */
  message: string;
}

/** What a response is asked for with. */
export interface ResponseRequest {
  /** How many of the likeliest tokens in place of each. */
  top_logprobs?: number | null;
  /** What the model's chat template is told beside the messages, as in vLLM's API, such as {"enable_thinking": true}; it is kept with the draft. What the renderer sets itself, such as `messages`, is refused. */
  chat_template_kwargs?: Record<string, unknown> | null;
  /** What the model is told around the user's last message: `reply`, that it is a message which is answered as the user; `write`, that it says what to write; `none`, nothing. The framed message is the prompt that is learned from. */
  frame?: "none" | "reply" | "write" | null;
  /** With a frame: a few words that the text carries out, "yes, Fri, no refund". */
  hint?: string | null;
  /** With a frame: how the user signs. */
  sign_as?: string | null;
  /** With a frame: words in place of its own, with {message}, and {hint} and {name} where these are given; {sender} is who signed the message. A line whose field is empty is left out. */
  frame_template?: string | null;
  /** Which letters that the user sent before stand before this request, in place of the server's setting: `last`, `nearest`, `similar`, `none`. */
  memory?: "none" | "last" | "nearest" | "similar" | null;
  /** Changes nothing. */
  service_tier?: string | null;
  /** Changes nothing. */
  prompt_cache_key?: string | null;
  /** Changes nothing. */
  prompt_cache_retention?: string | null;
  /** Changes nothing here. */
  prompt_cache_options?: unknown;
  /** Changes nothing. */
  prediction?: Record<string, unknown> | null;
  /** Text alone. */
  modalities?: "text"[] | null;
  /** Not supported: medium. */
  verbosity?: "medium" | null;
  /** Not supported: none, null, or left out; see chat_template_kwargs. */
  reasoning_effort?: "none" | null;
  /** Changes nothing: what is too long is refused. */
  truncation?: "auto" | "disabled" | null;
  /** Not supported: null, empty, or left out. */
  context_management?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  suffix?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  tools?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  functions?: null | string | unknown[] | Record<string, unknown>;
  /** Changes nothing, since there are no tools. */
  tool_choice?: "none" | "auto" | null;
  /** Changes nothing, since there are no tools. */
  function_call?: "none" | "auto" | null;
  /** Changes nothing, since there are no tools. */
  parallel_tool_calls?: boolean | null;
  /** Changes nothing here. */
  max_tool_calls?: unknown;
  /** Of the draw; 0 takes the likeliest token. */
  temperature?: number | null;
  /** Draw from the likeliest tokens that hold this probability; 0 takes the likeliest. */
  top_p?: number | null;
  /** Draw from so many of the likeliest tokens; 0 or -1 from all. */
  top_k?: number | null;
  /** Leave out tokens of less than this share of the likeliest's. */
  min_p?: number | null;
  /** Taken off a token's logit as often as it was drawn already. */
  frequency_penalty?: number | null;
  /** Taken off a token's logit once it was drawn. */
  presence_penalty?: number | null;
  /** Divides the logits of tokens that prompt or draft hold already; negative ones are multiplied. 1 changes nothing. */
  repetition_penalty?: number | null;
  /** Added to the logits of tokens, by the ids of the model that drafts. */
  logit_bias?: Record<string, number> | null;
  /** `corll`, `base`, or a version: NAME@7. */
  model: string;
  /** Makes a draft repeatable; random by default. */
  seed?: number | null;
  /** Whether the draft comes as events. */
  stream?: boolean | null;
  /** Of a stream alone. */
  stream_options?: Obfuscation | null;
  /** The older name of safety_identifier. */
  user?: string | null;
  /** For a backend's key: the name of the user it speaks for. */
  safety_identifier?: string | null;
  /** k: responses drawn, of which the best are shown. */
  num_candidates?: number | null;
  /** Whether the draft's R_π is wanted where nothing is ranked by it: two passes. */
  implicit_reward?: boolean | null;
  /** False keeps this draft nowhere; else consent says what is stored. */
  store?: boolean | null;
  /** Pairs of the client's own. `corll_ref` is a reference that it chooses for this draft, by which `POST /v1/edits` finds it. */
  metadata?: Record<string, string> | null;
  /** What is asked: a text, or items, the latest last. Where the assistant's message is the last, the draft goes on with it. */
  input: string | (MessageItem | ReferenceItem | FunctionCallItem | FunctionOutputItem)[];
  /** Stands before everything as the system's message, of this turn alone. */
  instructions?: string | null;
  /** The response that this one follows. Its conversation stands before `input` as it was edited: where an edit was sent, the model reads what the user sent. */
  previous_response_id?: string | null;
  /** `message.output_text.logprobs` is heeded; others change nothing. */
  include?: string[] | null;
  /** The most tokens of the draft. */
  max_output_tokens?: number | null;
  /** Plain text alone. */
  text?: TextSettings | null;
  /** Changes nothing here. */
  reasoning?: ReasoningSettings | null;
  /** Not supported: false. */
  background?: false | null;
}

/** Tokens read and written. */
export interface ResponseUsage {
  /** Tokens of the prompt. */
  input_tokens: number;
  /** Those of a cache. */
  input_tokens_details: CachedTokens;
  /** Tokens of the draft. */
  output_tokens: number;
  /** Those of reasoning. */
  output_tokens_details: ReasoningTokens;
  /** Both together. */
  total_tokens: number;
}

/** An earlier version drafts again. */
export interface Rollback {
  /** What this is. */
  object: "rollback";
  /** Its number; null where the reference drafts. */
  serving: number | null;
}

/** Which version serves again; 0 is the reference. */
export interface RollbackRequest {
  /** Its number; 0 for the reference. */
  to: number;
  /** Whether what is undone waits to be learned again, or is set aside. */
  requeue?: boolean;
}

/** The session of a browser. */
export interface Session {
  /** What this is. */
  object: "session";
  /** Who is signed in. */
  user: SignedInUser;
  /** The word that requests repeat as x-corll-csrf. */
  csrf: string;
  /** When it ends, in seconds since 1970. */
  expires_at: number;
  /** The base model. */
  model: string;
}

/** A choice as it was shown. */
export interface ShownText {
  /** The drafted text. */
  text: string;
}

/** The user of a session. */
export interface SignedInUser {
  /** The user's id. */
  id: string;
  /** The user's name. */
  name: string;
}

/** A text of an import that teaches nothing. */
export interface SkippedText {
  /** Which of the texts, counted from 1. */
  item: number;
  /** Why. */
  reason: string;
}

/** A user's weights start over, or will once what they start from was examined. */
export interface Start {
  /** What this is. */
  object: "start";
  /** The user's id. */
  user: string;
  /** What they start from. */
  reference: Reference;
  /** `started`; `examining`: what serves now goes on until the learner has examined the adapter; `unexamined`: it serves at once, since nothing is learned here. */
  state: "examining" | "started" | "unexamined" | "rejected" | "withdrawn";
}

/** The user's start from a reference has come to another state. */
export interface StartEvent {
  /** The reference's number. */
  reference: number;
  /** What the reference is called. */
  name: string;
  /** How far the start has come. */
  state: "examining" | "started" | "unexamined" | "rejected" | "withdrawn";
}

/** Which reference a user's weights start from. */
export interface StartRequest {
  /** Its number. */
  reference: number;
}

/** What a stream holds besides its chunks. */
export interface StreamOptions {
  /** Changes nothing: none is added. */
  include_obfuscation?: boolean;
  /** Whether it ends with a chunk of usage. */
  include_usage?: boolean;
}

/** One choice of a text's continuation. */
export interface TextChoice {
  /** Which choice, counted from 0. */
  index: number;
  /** The continuation. */
  text: string;
  /** Null unless they were asked for. */
  logprobs: TextLogprobs | null;
  /** Why the draft ended. */
  finish_reason: "stop" | "length";
}

/** An event of a continuation that is streamed. */
export interface TextChunk {
  /** The draft's id, which its edit refers to. */
  id: string;
  /** What this is. */
  object: "text_completion";
  /** When it was asked for, in seconds since 1970. */
  created: number;
  /** The model's name as it was asked for. */
  model: string;
  /** The fingerprint of the base model, or `upstream:` and the name of a model. */
  system_fingerprint: string;
  /** One choice; none in a chunk of usage. */
  choices: TextChunkChoice[];
  /** In the last chunk, where it was asked for; null in the others then, else left out. */
  usage?: Usage | null;
  /** In the chunk that ends the last choice. */
  corll?: DraftFacts;
}

/** A piece of one choice. */
export interface TextChunkChoice {
  /** Which choice, counted from 0. */
  index: number;
  /** A further piece of the continuation. */
  text: string;
  /** Those of the piece, where asked for. */
  logprobs: TextLogprobs | null;
  /** Null until the choice has ended. */
  finish_reason: "stop" | "length" | null;
}

/** A continuation of a text. */
export interface TextCompletion {
  /** The draft's id, which its edit refers to. */
  id: string;
  /** What this is. */
  object: "text_completion";
  /** When it was asked for, in seconds since 1970. */
  created: number;
  /** The model's name as it was asked for. */
  model: string;
  /** The fingerprint of the base model, or `upstream:` and the name of a model. */
  system_fingerprint: string;
  /** The choices, the best first. */
  choices: TextChoice[];
  /** Tokens read and written. */
  usage: Usage;
  /** What corll adds. */
  corll: DraftFacts;
}

/** The only format of a response. */
export interface TextFormat {
  /** Only text is drafted. */
  type: "text";
}

/** A piece of an item; a reply's own parts can be sent back as they came. */
export interface TextInput {
  /** Text alone. */
  type: "input_text" | "output_text" | "text";
  /** The text. */
  text: string;
  /** Changes nothing here. */
  annotations?: unknown;
  /** Changes nothing here. */
  logprobs?: unknown;
}

/** The log-probabilities of a text's choice, as four lists of the same length. */
export interface TextLogprobs {
  /** The tokens as text. */
  tokens: string[];
  /** Their log-probabilities in nats; null for what nothing precedes. */
  token_logprobs: (number | null)[];
  /** The likeliest tokens in place of each, and the token itself by the same number, by their log-probabilities. */
  top_logprobs: (Record<string, number> | null)[];
  /** Where each token begins in the choice's text, in characters, in a stream too. */
  text_offset: number[];
}

/** A piece of a message; only text is understood. */
export interface TextPart {
  /** Only text is understood. */
  type: "text";
  /** The text. */
  text: string;
}

/** What a continuation is asked for with: the text goes on as it stands. */
export interface TextRequest {
  /** Changes nothing. */
  service_tier?: string | null;
  /** Changes nothing. */
  prompt_cache_key?: string | null;
  /** Changes nothing. */
  prompt_cache_retention?: string | null;
  /** Changes nothing here. */
  prompt_cache_options?: unknown;
  /** Changes nothing. */
  prediction?: Record<string, unknown> | null;
  /** Text alone. */
  modalities?: "text"[] | null;
  /** Not supported: medium. */
  verbosity?: "medium" | null;
  /** Not supported: none, null, or left out; see chat_template_kwargs. */
  reasoning_effort?: "none" | null;
  /** Changes nothing: what is too long is refused. */
  truncation?: "auto" | "disabled" | null;
  /** Not supported: null, empty, or left out. */
  context_management?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  suffix?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  tools?: null | string | unknown[] | Record<string, unknown>;
  /** Not supported: null, empty, or left out. */
  functions?: null | string | unknown[] | Record<string, unknown>;
  /** Changes nothing, since there are no tools. */
  tool_choice?: "none" | "auto" | null;
  /** Changes nothing, since there are no tools. */
  function_call?: "none" | "auto" | null;
  /** Changes nothing, since there are no tools. */
  parallel_tool_calls?: boolean | null;
  /** Changes nothing here. */
  max_tool_calls?: unknown;
  /** Of the draw; 0 takes the likeliest token. */
  temperature?: number | null;
  /** Draw from the likeliest tokens that hold this probability; 0 takes the likeliest. */
  top_p?: number | null;
  /** Draw from so many of the likeliest tokens; 0 or -1 from all. */
  top_k?: number | null;
  /** Leave out tokens of less than this share of the likeliest's. */
  min_p?: number | null;
  /** Taken off a token's logit as often as it was drawn already. */
  frequency_penalty?: number | null;
  /** Taken off a token's logit once it was drawn. */
  presence_penalty?: number | null;
  /** Divides the logits of tokens that prompt or draft hold already; negative ones are multiplied. 1 changes nothing. */
  repetition_penalty?: number | null;
  /** Added to the logits of tokens, by the ids of the model that drafts. */
  logit_bias?: Record<string, number> | null;
  /** `corll`, `base`, or a version: NAME@7. */
  model: string;
  /** Makes a draft repeatable; random by default. */
  seed?: number | null;
  /** Whether the draft comes as events. */
  stream?: boolean | null;
  /** Of a stream alone. */
  stream_options?: StreamOptions | null;
  /** The older name of safety_identifier. */
  user?: string | null;
  /** For a backend's key: the name of the user it speaks for. */
  safety_identifier?: string | null;
  /** k: responses drawn, of which the best are shown. */
  num_candidates?: number | null;
  /** Whether the draft's R_π is wanted where nothing is ranked by it: two passes. */
  implicit_reward?: boolean | null;
  /** False keeps this draft nowhere; else consent says what is stored. */
  store?: boolean | null;
  /** Pairs of the client's own. `corll_ref` is a reference that it chooses for this draft, by which `POST /v1/edits` finds it. */
  metadata?: Record<string, string> | null;
  /** Choices wanted. */
  n?: number | null;
  /** The most tokens of a choice; 0 draws none. */
  max_tokens?: number | null;
  /** Sequences before which a draft ends: up to 4, of up to 200 characters. */
  stop?: string | string[] | null;
  /** The text that is continued; several texts, or the ids of tokens, are read and continued without becoming drafts. */
  prompt: string | string[] | number[] | number[][];
  /** How many of the likeliest tokens in place of each. */
  logprobs?: number | null;
  /** Whether the prompt stands before each choice, with its logprobs. */
  echo?: boolean | null;
  /** Responses drawn, of which the n are the choices that are likeliest by token. */
  best_of?: number | null;
}

/** How the text comes: plain. */
export interface TextSettings {
  /** Text alone. */
  format?: TextFormat | null;
  /** Not supported: medium. */
  verbosity?: "medium" | null;
}

/** A token and its log-probability. *Units*: nats. */
export interface TokenLogprob {
  /** The token as text, or `bytes:\xe2\x82` where it is a part of a character. */
  token: string;
  /** Its log-probability in nats, at temperature 1. */
  logprob: number;
  /** Its UTF-8 bytes, perhaps a part of a character. Those of all make up the text; of a token in which a stop sequence cut it, they go on beyond it. */
  bytes: number[];
}

/** A tool that an assistant called earlier in a conversation. */
export interface ToolCall {
  /** What its answer refers to. */
  id?: string;
  /** Only functions are understood. */
  type?: "function";
  /** What was called. */
  function: CalledFunction;
}

/**
 * Tokens of the prompt and of the choices; candidates that are not shown cost nobody.
 *
 * Of an upstream they are all that it counted.
 */
export interface Usage {
  /** Tokens of the prompt. */
  prompt_tokens: number;
  /** Tokens of all choices. */
  completion_tokens: number;
  /** Both together. */
  total_tokens: number;
}

/** A user: what may be done with their texts, and what serves them. */
export interface User {
  /** The user's id. */
  id: string;
  /** What this is. */
  object: "user";
  /** The user's name, which a backend chooses. */
  name: string;
  /** What the user agreed to. */
  consent: Consent;
  /** Share of drafts that the reference writes, 0 to 0.5. */
  holdback: number;
  /** What drafts: `base`, `memory`, `weights`, `both`, or what a coin finds. */
  arm: "auto" | "base" | "memory" | "weights" | "both";
  /** What is masked of their texts before they are learned from: `numbers`, `addresses`, `both` or `none`. */
  mask: "none" | "numbers" | "addresses" | "both";
  /** Preferences that wait to be learned from. */
  waiting: number;
  /** The number of the version that drafts. */
  serving: number | null;
  /** What the user's versions start from. */
  reference: OwnReference | null;
  /** The start that was asked for last, while it is examined or if it was rejected; else null. */
  start: ReferenceStart | null;
  /** When the user came, in seconds since 1970. */
  created_at: number;
}

/** A user, and how their learning stands. */
export interface UserAndLearner {
  /** The user's id. */
  id: string;
  /** What this is. */
  object: "user";
  /** The user's name, which a backend chooses. */
  name: string;
  /** What the user agreed to. */
  consent: Consent;
  /** Share of drafts that the reference writes, 0 to 0.5. */
  holdback: number;
  /** What drafts: `base`, `memory`, `weights`, `both`, or what a coin finds. */
  arm: "auto" | "base" | "memory" | "weights" | "both";
  /** What is masked of their texts before they are learned from: `numbers`, `addresses`, `both` or `none`. */
  mask: "none" | "numbers" | "addresses" | "both";
  /** Preferences that wait to be learned from. */
  waiting: number;
  /** The number of the version that drafts. */
  serving: number | null;
  /** What the user's versions start from. */
  reference: OwnReference | null;
  /** The start that was asked for last, while it is examined or if it was rejected; else null. */
  start: ReferenceStart | null;
  /** When the user came, in seconds since 1970. */
  created_at: number;
  /** Preferences that make a step of the learner. */
  preferences_per_step: number;
  /** How the learner is. */
  learner: "off" | "starting" | "ready" | "down";
  /** The model of another service before whose requests past letters stand, once the user agrees (`consent.upstream`); null where none do. */
  sends_letters_to: string | null;
}

/** The users that a key may see. */
export interface Users {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: User[];
}

/** A user's weights after some steps. */
export interface Version {
  /** What this is. */
  object: "version";
  /** Its number among the user's versions, counted from 1. */
  number: number;
  /** Whether it drafts. */
  state: "candidate" | "serving" | "retired" | "rejected";
  /** The id of the version it was learned from. */
  parent: string | null;
  /** The version's id. */
  id: string;
  /** The id of its lineage, which starts from a reference. */
  lineage: string;
  /** The id of the reference that is its π_0. */
  reference: string;
  /** Why it was rejected. */
  reasons: string[];
  /** What its last step measured. */
  metrics: Record<string, number>;
  /** Steps that its weights have had. */
  steps: number;
  /** Whether its weights are still there. */
  kept: boolean;
  /** Whether the optimiser's state is too. */
  optimizer_kept: boolean;
  /** When it was made, in seconds since 1970. */
  created_at: number;
  /** When it first drafted, in seconds since 1970. */
  served_at: number | null;
}

/** A version, and those that it was learned from. */
export interface VersionAndAncestry {
  /** What this is. */
  object: "version";
  /** Its number among the user's versions, counted from 1. */
  number: number;
  /** Whether it drafts. */
  state: "candidate" | "serving" | "retired" | "rejected";
  /** The id of the version it was learned from. */
  parent: string | null;
  /** The version's id. */
  id: string;
  /** The id of its lineage, which starts from a reference. */
  lineage: string;
  /** The id of the reference that is its π_0. */
  reference: string;
  /** Why it was rejected. */
  reasons: string[];
  /** What its last step measured. */
  metrics: Record<string, number>;
  /** Steps that its weights have had. */
  steps: number;
  /** Whether its weights are still there. */
  kept: boolean;
  /** Whether the optimiser's state is too. */
  optimizer_kept: boolean;
  /** When it was made, in seconds since 1970. */
  created_at: number;
  /** When it first drafted, in seconds since 1970. */
  served_at: number | null;
  /** Their numbers, its own first. */
  ancestry: number[];
}

/** A version of the user's has come to another state. */
export interface VersionEvent {
  /** The version's number, counted from 1. */
  number: number;
  /** Its state now. */
  state: "candidate" | "serving" | "retired" | "rejected";
}

/** A user's versions. */
export interface Versions {
  /** What this is. */
  object: "list";
  /** The things, in order. */
  data: Version[];
}

/** The events of GET /v1/events, by their names. */
export interface Events {
  version: VersionEvent;
  edit: EditEvent;
  import: ImportEvent;
  start: StartEvent;
}
