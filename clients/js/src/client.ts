/** OpenAI's client, for a service of corll. */

import OpenAI, { type ClientOptions } from "openai";

import type { Learning } from "./apiTypes.js";
import { eventsOf, type Heard } from "./events.js";
import {
  Comparisons,
  Consents,
  Deletions,
  DraftList,
  Edits,
  Imports,
  UserList,
  VersionList,
} from "./resources.js";

/** Where a service on this machine answers. */
export const DEFAULT_BASE_URL = "http://127.0.0.1:8377";

/** Names, where a request has no field for it, the user for whom a backend's key speaks. */
const USER_HEADER = "x-corll-user";

/** Something to put right in how the client is used; what the service refuses is OpenAI's error. */
export class CorllError extends Error {
  override name = "CorllError";
}

/** OpenAI's options. `baseURL` and `apiKey` come else from CORLL_BASE_URL and CORLL_API_KEY. */
export type CorllOptions = Omit<ClientOptions, "baseURL" | "apiKey"> & {
  baseURL?: string;
  apiKey?: string;
};

/** What is sent beside a path. */
interface Sent {
  body?: unknown;
  query?: Record<string, unknown>;
  maxRetries?: number;
}

/** OpenAI's client, with the calls that teach: `client.edits` and others. */
export class Corll extends OpenAI {
  readonly edits = new Edits(this);
  readonly drafts = new DraftList(this);
  readonly comparisons = new Comparisons(this);
  readonly imports = new Imports(this);
  readonly consent = new Consents(this);
  readonly users = new UserList(this);
  readonly versions = new VersionList(this);
  readonly deletions = new Deletions(this);

  constructor({ baseURL, apiKey, ...options }: CorllOptions = {}) {
    super({ ...options, baseURL: withVersion(baseURL), apiKey: keyOf(apiKey) });
  }

  /** Ask the learner for a step now, with the edits that wait. */
  learn(user?: string): Promise<Learning> {
    return this.send("post", "/learn", { body: { user } });
  }

  /** Listen to what happens to a user's edits and versions, from now on. */
  async events({ user }: { user?: string } = {}): Promise<AsyncGenerator<Heard>> {
    const headers = { Accept: "text/event-stream", ...(user && { [USER_HEADER]: user }) };
    const response = await this.get("/events", { headers }).asResponse();
    if (response.body === null) throw new CorllError("The service sent no events.");
    return eventsOf(response.body);
  }

  /** Send a call of the service's own API, and return what it answers. */
  async send<Answer extends object>(
    method: "get" | "post" | "put" | "delete",
    path: string,
    sent: Sent = {},
  ): Promise<Answer> {
    const answer: unknown = await this[method](path, sent);
    if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
      throw new CorllError(
        `What answers ${path} is not a service of corll; is its address, baseURL, right?`,
      );
    }
    return answer as Answer;
  }
}

function variable(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}

function withVersion(given?: string): string {
  const url = (given || variable("CORLL_BASE_URL") || DEFAULT_BASE_URL).replace(/\/+$/, "");
  return url.endsWith("/v1") ? url : `${url}/v1`;
}

function keyOf(given?: string): string {
  const key = given || variable("CORLL_API_KEY");
  if (!key) {
    throw new CorllError(
      "Give apiKey, or set CORLL_API_KEY: `corll keys create` makes a key, and `corll serve` " +
        "shows the first one.",
    );
  }
  return key;
}
