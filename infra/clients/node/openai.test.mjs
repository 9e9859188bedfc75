// The official openai package, unmodified, against a real server with a real model.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI, { BadRequestError, NotFoundError } from "openai";
import { startServer } from "./running_server.mjs";

const messages = [{ role: "user", content: "Name three colours of the rainbow." }];
let server;
let client;
let model;

before(async () => {
  server = await startServer();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0, timeout: 120_000 });
  model = (await client.models.list()).data[0].id;
});

after(async () => {
  await server?.stop();
});

const chat = (more = {}) =>
  client.chat.completions.create({ model, messages, max_tokens: 12, temperature: 0, ...more });

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("chat completion has text, usage and a finish reason", async () => {
  const answer = await chat();
  assert.equal(answer.object, "chat.completion");
  assert.ok(answer.choices[0].message.content.trim());
  assert.equal(answer.choices[0].finish_reason, "length");
  assert.equal(answer.usage.completion_tokens, 12);
});

test("streamed text equals the whole answer, and usage comes last when asked for", async () => {
  const chunks = await collect(await chat({ stream: true, stream_options: { include_usage: true } }));
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, (await chat()).choices[0].message.content);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 12);
});

test("the streaming helper assembles the final message", async () => {
  const stream = client.chat.completions.stream({ model, messages, max_tokens: 12, temperature: 0 });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, (await chat()).choices[0].message.content);
});

test("n gives that many choices, and the same seed the same texts", async () => {
  const texts = async () =>
    (await chat({ n: 2, temperature: 1, seed: 7 })).choices.map((choice) => choice.message.content);
  const first = await texts();
  assert.equal(first.length, 2);
  assert.deepEqual(await texts(), first);
});

test("logprobs come with each token", async () => {
  const answer = await chat({ logprobs: true, top_logprobs: 2 });
  const tokens = answer.choices[0].logprobs.content;
  assert.equal(tokens.length, 12);
  assert.ok(tokens.every((token) => token.logprob <= 0 && token.top_logprobs.length === 2));
});

test("completions go on from their prompt, streamed or not", async () => {
  const options = { model, prompt: "One, two, three, four,", max_tokens: 4, temperature: 0 };
  const whole = await client.completions.create(options);
  assert.match(whole.choices[0].text, /five/);
  const chunks = await collect(await client.completions.create({ ...options, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), whole.choices[0].text);
});

test("a required call of a tool is streamed in parts that make valid arguments", async () => {
  const parameters = {
    type: "object",
    properties: { unit: { enum: ["celsius", "fahrenheit"] } },
    required: ["unit"],
    additionalProperties: false,
  };
  const tools = [{ type: "function", function: { name: "set_unit", parameters } }];
  const options = { tools, tool_choice: "required", parallel_tool_calls: false, max_tokens: 100 };
  const stream = client.chat.completions.stream({ model, messages, temperature: 0, ...options });
  const choice = (await stream.finalChatCompletion()).choices[0];
  assert.equal(choice.finish_reason, "tool_calls");
  const [call] = choice.message.tool_calls;
  assert.equal(call.function.name, "set_unit");
  assert.ok(["celsius", "fahrenheit"].includes(JSON.parse(call.function.arguments).unit));
  const whole = (await chat(options)).choices[0].message.tool_calls[0];
  assert.equal(whole.function.arguments, call.function.arguments);
});

test("every answer carries its inference id", async () => {
  const { response } = await chat({ max_tokens: 2 }).withResponse();
  assert.ok(response.headers.get("x-jetmill-inference-id"));
});

test("a stream that the client aborts leaves the server answering", async () => {
  const stream = await chat({ stream: true, max_tokens: 1500, ignore_eos: true });
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    break;
  }
  assert.ok(stream.controller.signal.aborted);
  assert.equal((await chat()).usage.completion_tokens, 12);
});

test("errors arrive as the client's own types", async () => {
  await assert.rejects(chat({ model: "no-such-model" }), NotFoundError);
  await assert.rejects(chat({ messages: [] }), BadRequestError);
  await assert.rejects(chat({ temperature: 9 }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
});
