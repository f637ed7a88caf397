/** Requests to the public API, as the user who is signed in by the cookie. */

import type { Error as ErrorAnswer, Session } from "./apiTypes";
import { noteAway, noteHere, noteSignedOut, reachAgainBy } from "./connection";

/** The server understood, and said no. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterS: number | null,
  ) {
    super(message);
  }
}

/** Nobody answers, or only to say that it cannot work just now. */
export class Unreachable extends Error {}

/** The session is over, or has become another user's. */
export class SignedOut extends Error {}

type Method = "GET" | "POST" | "PUT" | "DELETE";

const UNKNOWN = "unknown";

let session: Session | null = null;
let owner: string | null = null;

reachAgainBy(async () => void (await openSession()));

/** Whose desk this is; a session of anyone else is not ours. */
export function belongsTo(userId: string): void {
  owner = userId;
}

/** Asks who is signed in. *Raises*: SignedOut, Unreachable. */
export async function openSession(): Promise<Session> {
  const response = await send("GET", "/v1/session");
  if (response.status === 401) {
    session = null;
    noteSignedOut(false);
    throw new SignedOut("Nobody is signed in.");
  }
  if (!response.ok) throw await refusal(response);
  const found = (await response.json()) as Session;
  if (owner !== null && found.user.id !== owner) {
    noteSignedOut(true);
    throw new SignedOut(`${found.user.name} has signed in here.`);
  }
  owner = found.user.id;
  session = found;
  noteHere();
  return found;
}

/** The answer as JSON. *Raises*: Refused, Unreachable, SignedOut. */
export async function ask<T>(method: Method, path: string, body?: unknown): Promise<T> {
  return (await (await answerTo(method, path, body)).json()) as T;
}

/** The answer, to be read as it comes. *Raises*: as `ask`; AbortError by the signal. */
export async function answerTo(
  method: Method,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Response> {
  if (session === null) await openSession();
  let response = await send(method, path, body, signal);
  if (response.status === 403 && (await codeOf(response)) === "not_our_page") {
    // Another tab signed in anew, and with that the word that we must repeat is another.
    await openSession();
    response = await send(method, path, body, signal);
  }
  if (response.status === 401) {
    session = null;
    noteSignedOut(false);
    throw new SignedOut("The session has ended.");
  }
  if (response.status >= 502) {
    const { message } = await refusal(response);
    noteAway();
    throw new Unreachable(message);
  }
  if (!response.ok) throw await refusal(response);
  noteHere();
  return response;
}

async function send(
  method: Method,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (session !== null && method !== "GET") headers["x-corll-csrf"] = session.csrf;
  const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  try {
    return await fetch(path, init);
  } catch (error) {
    if (isAbort(error)) throw error;
    noteAway();
    throw new Unreachable("The server does not answer.");
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** What to tell the user of an error, whatever it is. */
export function sayError(error: unknown): string {
  if (error instanceof Unreachable) return "The server does not answer just now.";
  if (error instanceof SignedOut) return "Nobody is signed in here any more.";
  if (error instanceof Refused && error.retryAfterS !== null) {
    return `${error.message} Try again in ${Math.ceil(error.retryAfterS)} s.`;
  }
  return error instanceof Error ? error.message : String(error);
}

async function codeOf(response: Response): Promise<string> {
  return (await refusal(response.clone())).code;
}

async function refusal(response: Response): Promise<Refused> {
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterS = Number.isFinite(after) ? after : null;
  try {
    const { error } = (await response.json()) as ErrorAnswer;
    return new Refused(response.status, error.code ?? UNKNOWN, error.message, retryAfterS);
  } catch {
    const message = `The server answered ${response.status} ${response.statusText}.`;
    return new Refused(response.status, UNKNOWN, message, retryAfterS);
  }
}
