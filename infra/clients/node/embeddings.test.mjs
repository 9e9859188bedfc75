// Embeddings by the official openai package, from a server with two models.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI, { BadRequestError } from "openai";
import { required, startServer } from "./running_server.mjs";

const model = "all-minilm-l6-v2";
let server;
let client;

before(async () => {
  server = await startServer("--model", required("CLIENTS_EMBEDDING_MODEL"));
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0, timeout: 120_000 });
});

after(async () => {
  await server?.stop();
});

test("the encoding that the client asks for by itself gives the same vector as floats", async () => {
  const input = "That is a happy person";
  const packed = await client.embeddings.create({ model, input });
  const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
  assert.equal(packed.data[0].embedding.length, 384);
  assert.deepEqual(Array.from(packed.data[0].embedding, Math.fround), plain.data[0].embedding.map(Math.fround));
  assert.equal(packed.usage.prompt_tokens, 7);
  assert.equal(packed.usage.total_tokens, 7);
});

test("a list of texts gives a vector for each", async () => {
  const { data } = await client.embeddings.create({ model, input: ["a", "b", "a"] });
  assert.deepEqual(data.map(({ index }) => index), [0, 1, 2]);
  assert.deepEqual(data[0].embedding, data[2].embedding);
});

test("a model that writes text does not embed", async () => {
  const other = (await client.models.list()).data.find(({ id }) => id !== model).id;
  const asked = client.embeddings.create({ model: other, input: "a" });
  await assert.rejects(asked, (error) => error instanceof BadRequestError && error.code === "unsupported_task");
});
