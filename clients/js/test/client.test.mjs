/** The client against a real service on a tiny model. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { Corll, CorllError } from "corll";
import OpenAI, { NotFoundError } from "openai";

import { startService } from "./service.mjs";

const messages = [{ role: "user", content: "The parcel is late." }];
let service;
let client;

before(async () => {
  service = await startService();
  client = new Corll({ baseURL: service.url, apiKey: service.key });
});
after(() => service?.stop());

const draftOf = (user, more = {}) =>
  client.chat.completions.create({ model: "corll", messages, safety_identifier: user, ...more });

/** A user who lets texts be stored and learned from. */
async function agreed(user) {
  await draftOf(user);
  return client.consent.update({ user, store: true, learn: true });
}

test("a draft and its edit", async () => {
  assert.ok(client instanceof OpenAI);
  const user = await agreed("anna");
  const draft = await draftOf("anna");
  assert.equal(draft.corll.user, user.id);
  const edit = await client.edits.create({ draft_id: draft.id, text: "It comes on Friday." });
  assert.equal(edit.draft_id, draft.id);
  assert.deepEqual([edit.state, edit.will_learn, edit.reason], ["recorded", true, null]);
  assert.deepEqual(await client.edits.retrieve(edit.id), edit);
  const { data, has_more } = await client.drafts.list({ user: "anna", limit: 1 });
  assert.deepEqual([data.length, data[0].id, has_more], [1, draft.id, true]);
  assert.deepEqual((await client.drafts.list({ user: "anna", query: "nowhere" })).data, []);
});

test("a streamed draft has its id too", async () => {
  await agreed("bea");
  const ids = new Set();
  for await (const chunk of await draftOf("bea", { stream: true })) ids.add(chunk.id);
  const [draft_id] = ids;
  assert.equal(ids.size, 1);
  assert.equal((await client.edits.create({ draft_id, text: "Hello" })).draft_id, draft_id);
});

test("comparisons, learning, users and versions", async () => {
  const user = await agreed("cleo");
  const draft = await draftOf("cleo", { n: 2 });
  const chosen = { draft_id: draft.id, choice: 1 };
  const found = await client.comparisons.create({ chosen, rejected: draft.id });
  assert.deepEqual([found.chosen.choice, found.rejected.choice], [1, 0]);
  const learning = await client.learn("cleo");
  assert.deepEqual([learning.waiting, learning.learner], [1, "off"]);
  assert.equal((await client.users.retrieve("cleo")).id, user.id);
  assert.ok((await client.users.list()).data.some((one) => one.id === user.id));
  assert.deepEqual((await client.users.learning("cleo")).answers, []);
  assert.deepEqual((await client.versions.list("cleo")).data, []);
  assert.equal((await client.versions.rollBack({ to: 0, user: "cleo" })).serving, null);
  await assert.rejects(client.versions.retrieve(7, { user: "cleo" }), NotFoundError);
  assert.equal((await client.consent.retrieve({ user: "cleo" })).consent.learn, true);
});

test("imports and deletions", async () => {
  await agreed("dora");
  const items = [{ prompt: "Greet.", sent: "Hello" }];
  const started = await client.imports.create({ items, user: "dora" });
  assert.equal((await client.imports.retrieve(started.id)).total, 1);
  const planned = await client.deletions.create("import", started.id, { dry_run: true });
  assert.equal(planned.deleted, false);
  const { receipt } = await client.deletions.create("import", started.id);
  assert.equal(receipt.counts.imported_texts, 1);
  assert.equal((await client.deletions.retrieve(receipt.id)).sha256, receipt.sha256);
  assert.equal((await client.deletions.create("texts", "dora")).object, "texts");
});

test("events are heard", async () => {
  const { id } = await agreed("eva");
  const key = await client.post("/keys", { body: { scope: "user", user: "eva" } });
  const own = new Corll({ baseURL: service.url, apiKey: key.key });
  assert.equal((await own.users.retrieve()).id, id);
  await own.consent.update({ store: true, learn: true });
  const draft = await own.chat.completions.create({ model: "corll", messages });
  const events = await own.events();
  const edit = await own.edits.create({ draft_id: draft.id, text: "Hello" });
  const { value } = await events.next();
  assert.deepEqual([value.event, value.data.id], ["edit", edit.id]);
  await events.return();
});

test("faults are those of OpenAI", async () => {
  await assert.rejects(client.edits.retrieve("edit_1"), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "not_found");
    return true;
  });
});

test("address and key come from corll's variables, never from OpenAI's", async () => {
  process.env.OPENAI_API_KEY = "sk-secret";
  process.env.OPENAI_BASE_URL = "http://127.0.0.1:1/v1";
  delete process.env.CORLL_API_KEY;
  assert.throws(() => new Corll({ baseURL: service.url }), CorllError);
  process.env.CORLL_API_KEY = service.key;
  process.env.CORLL_BASE_URL = `${service.url}/v1/`;
  await agreed("fay");
  const found = new Corll({ maxRetries: 0 }).withOptions({ timeout: 60_000 });
  assert.equal((await found.users.retrieve("fay")).name, "fay");
  delete process.env.CORLL_BASE_URL;
  assert.equal(new Corll().baseURL, "http://127.0.0.1:8377/v1");
});

test("another server is told from a service", async () => {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html").end("<p>Welcome</p>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseURL = `http://127.0.0.1:${server.address().port}`;
  await assert.rejects(new Corll({ baseURL, apiKey: "k" }).learn(), /not a service of corll/);
  server.close();
});
