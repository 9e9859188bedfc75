"""The official openai package, unmodified, against a real server with a real model."""

from __future__ import annotations

import json
import time
import unittest
import urllib.error
import urllib.request
from typing import Literal

import openai
import pydantic

from running_server import running_server

CHAT = [{"role": "user", "content": "Name three colours of the rainbow."}]
INFERENCE_ID = "x-jetmill-inference-id"
PATIENCE_SECONDS = 30


class ServerCase(unittest.TestCase):
    """Starts one server for the class; `arguments` are added to its command line."""

    arguments: tuple[str, ...] = ()
    api_key = "none"

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = cls.enterClassContext(running_server(*cls.arguments))
        cls.client = cls.enterClassContext(cls.connect(cls.api_key))
        cls.model = cls.client.models.list().data[0].id

    @classmethod
    def connect(cls, api_key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{cls.server.url}/v1", api_key=api_key, max_retries=0, timeout=120)

    def chat(self, **more):
        options = {"model": self.model, "messages": CHAT, "max_tokens": 12, "temperature": 0, **more}
        return self.client.chat.completions.create(**options)

    def text(self, **more) -> str:
        return self.chat(**more).choices[0].message.content


class Answers(ServerCase):
    def test_models_can_be_listed_and_retrieved(self) -> None:
        listed = self.client.models.list().data
        self.assertGreaterEqual(len(listed), 1)
        self.assertEqual(self.client.models.retrieve(self.model).id, self.model)
        self.assertEqual({model.object for model in listed}, {"model"})

    def test_chat_completion_has_text_usage_and_finish_reason(self) -> None:
        answer = self.chat()
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, self.model)
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertTrue(answer.choices[0].message.content.strip())
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertGreater(answer.usage.prompt_tokens, 5)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 12)

    def test_a_short_answer_ends_with_stop(self) -> None:
        answer = self.chat(messages=[{"role": "user", "content": "Say only: yes"}], max_tokens=200)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertLess(answer.usage.completion_tokens, 200)

    def test_streamed_text_equals_the_whole_answer(self) -> None:
        chunks = list(self.chat(stream=True, max_tokens=24))
        self.assertEqual({chunk.object for chunk in chunks}, {"chat.completion.chunk"})
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(streamed, self.text(max_tokens=24))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "length")
        self.assertGreater(len(chunks), 5)

    def test_include_usage_adds_one_last_chunk_without_choices(self) -> None:
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 12)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_usage_is_left_out_of_a_stream_that_did_not_ask(self) -> None:
        self.assertTrue(all(chunk.usage is None for chunk in self.chat(stream=True)))

    def test_max_completion_tokens_is_max_tokens(self) -> None:
        answer = self.chat(max_tokens=openai.NOT_GIVEN, max_completion_tokens=3)
        self.assertEqual(answer.usage.completion_tokens, 3)

    def test_stop_string_ends_the_text_before_it(self) -> None:
        whole = self.text(max_tokens=40)
        stop = whole[10:14]
        answer = self.chat(max_tokens=40, stop=[stop])
        self.assertEqual(answer.choices[0].message.content, whole[: whole.index(stop)])
        self.assertEqual(answer.choices[0].finish_reason, "stop")

    def test_stop_string_never_leaks_into_a_stream(self) -> None:
        whole = self.text(max_tokens=40)
        stop = whole[10:14]
        chunks = list(self.chat(max_tokens=40, stop=stop, stream=True))
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(streamed, whole[: whole.index(stop)])

    def test_n_gives_that_many_choices(self) -> None:
        answer = self.chat(n=3, temperature=1.2, seed=7)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        self.assertGreater(len({choice.message.content for choice in answer.choices}), 1)
        self.assertEqual(answer.usage.completion_tokens, 36)

    def test_n_choices_can_be_streamed(self) -> None:
        texts = {0: "", 1: ""}
        for chunk in self.chat(n=2, temperature=1.0, seed=7, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        answer = self.chat(n=2, temperature=1.0, seed=7)
        self.assertEqual(texts, {choice.index: choice.message.content for choice in answer.choices})

    def test_the_same_seed_gives_the_same_text(self) -> None:
        first = self.text(temperature=1.0, seed=1234, max_tokens=24)
        self.assertEqual(first, self.text(temperature=1.0, seed=1234, max_tokens=24))
        others = {self.text(temperature=1.0, seed=seed, max_tokens=24) for seed in (1, 2, 3)}
        self.assertNotEqual(others, {first})

    def test_logprobs_are_ordered_and_the_greedy_token_leads(self) -> None:
        content = self.chat(logprobs=True, top_logprobs=3).choices[0].logprobs.content
        self.assertEqual(len(content), 12)
        for token in content:
            values = [top.logprob for top in token.top_logprobs]
            self.assertEqual(len(values), 3)
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertEqual(token.token, token.top_logprobs[0].token)
            self.assertLessEqual(token.logprob, 0)
        text = b"".join(bytes(token.bytes) for token in content).decode(errors="replace")
        self.assertEqual(text, self.text())

    def test_logit_bias_bans_a_token(self) -> None:
        plain = self.client.completions.create(
            model=self.model, prompt="One, two, three,", max_tokens=1, temperature=0, logprobs=2
        )
        best = plain.choices[0].text
        request = json.dumps({"model": self.model, "prompt": best, "add_special_tokens": False}).encode()
        tokenize = urllib.request.Request(
            f"{self.server.url}/tokenize", request, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(tokenize, timeout=10) as response:
            token = json.load(response)["tokens"][0]
        biased = self.client.completions.create(
            model=self.model, prompt="One, two, three,", max_tokens=1, temperature=0, logit_bias={str(token): -100}
        )
        self.assertNotEqual(biased.choices[0].text, best)

    def test_completion_goes_on_from_its_prompt(self) -> None:
        options = {"model": self.model, "prompt": "One, two, three, four,", "max_tokens": 4, "temperature": 0}
        answer = self.client.completions.create(**options)
        self.assertEqual(answer.object, "text_completion")
        self.assertIn("five", answer.choices[0].text)
        self.assertEqual(answer.usage.completion_tokens, 4)
        streamed = "".join(chunk.choices[0].text for chunk in self.client.completions.create(stream=True, **options))
        self.assertEqual(streamed, answer.choices[0].text)

    def test_every_answer_carries_its_inference_id(self) -> None:
        raw = self.client.chat.completions.with_raw_response.create(
            model=self.model, messages=CHAT, max_tokens=2, temperature=0
        )
        other = self.client.chat.completions.with_raw_response.create(
            model=self.model, messages=CHAT, max_tokens=2, temperature=0
        )
        self.assertTrue(raw.headers[INFERENCE_ID])
        self.assertNotEqual(raw.headers[INFERENCE_ID], other.headers[INFERENCE_ID])

    def test_closing_a_stream_cancels_and_frees_its_slot(self) -> None:
        for _ in range(4):
            stream = self.chat(stream=True, max_tokens=1500, extra_body={"ignore_eos": True})
            next(iter(stream))
            stream.close()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.gauge("num_requests_running") > 0:
            self.assertLess(time.monotonic(), deadline, "closed streams are still running")
            time.sleep(0.05)
        self.assertEqual(self.chat().usage.completion_tokens, 12)

    def gauge(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.server.url}/metrics", timeout=10) as response:
            lines = [line for line in response.read().decode().splitlines() if not line.startswith("#")]
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if name in line.split("{")[0].split(" ")[0]]
        self.assertTrue(values, f"/metrics has no {name}")
        return sum(values)


class Tag(pydantic.BaseModel):
    kind: Literal["warm", "cold"]
    weight: float = pydantic.Field(ge=0, le=1)


class Colour(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    wavelength: int = pydantic.Field(ge=380, le=750)
    tag: Tag
    note: str | None = pydantic.Field(max_length=20)


class Weather(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    kind: Literal["sun", "rain"]
    degrees: int = pydantic.Field(ge=0, le=99)


class StructuredOutputs(ServerCase):
    def parse(self, **more):
        options = {"model": self.model, "messages": CHAT, "max_tokens": 200, "temperature": 0, **more}
        return self.client.chat.completions.parse(response_format=Colour, **options)

    def test_an_answer_is_parsed_into_its_class(self) -> None:
        for seed in range(3):
            choice = self.parse(temperature=1.0, seed=seed).choices[0]
            self.assertEqual(choice.finish_reason, "stop")
            self.assertIsInstance(choice.message.parsed, Colour)

    def test_every_choice_matches(self) -> None:
        choices = self.parse(n=3, temperature=1.0, seed=4).choices
        self.assertTrue(all(isinstance(choice.message.parsed, Colour) for choice in choices))

    def test_a_streamed_answer_is_parsed_and_equals_the_whole_one(self) -> None:
        with self.client.chat.completions.stream(
            model=self.model, messages=CHAT, max_tokens=200, temperature=0, response_format=Colour
        ) as stream:
            final = stream.get_final_completion()
        self.assertEqual(final.choices[0].message.parsed, self.parse().choices[0].message.parsed)

    def test_beta_parses_alike(self) -> None:
        options = {"model": self.model, "messages": CHAT, "max_tokens": 200, "temperature": 0}
        parsed = self.client.beta.chat.completions.parse(response_format=Colour, **options).choices[0].message.parsed
        self.assertEqual(parsed, self.parse().choices[0].message.parsed)

    def test_chunks_add_up_to_a_document_for_each_choice(self) -> None:
        schema = {"name": "weather", "schema": Weather.model_json_schema()}
        form = {"type": "json_schema", "json_schema": schema}
        texts = {0: "", 1: ""}
        for chunk in self.chat(response_format=form, stream=True, n=2, max_tokens=200, temperature=1.0, seed=6):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        for text in texts.values():
            Weather.model_validate_json(text)

    def test_structured_outputs_take_a_schema_as_object_or_text(self) -> None:
        schema = Weather.model_json_schema()
        answers = set()
        for json_schema in (schema, json.dumps(schema)):
            options = {"extra_body": {"structured_outputs": {"json": json_schema}}, "max_tokens": 60}
            answers.add(self.text(**options))
            chunks = list(self.chat(stream=True, **options))
            answers.add("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
            self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        Weather.model_validate_json(answers.pop())
        self.assertFalse(answers, "all four are the same")

    def test_completions_are_held_to_a_form_too(self) -> None:
        options = {"model": self.model, "prompt": "The code is ", "max_tokens": 20, "temperature": 1.0}
        body = {"structured_outputs": {"regex": "[0-9]{3}(-[0-9]{2})?"}}
        answer = self.client.completions.create(n=2, extra_body=body, **options)
        for choice in answer.choices:
            self.assertRegex(choice.text, "^[0-9]{3}(-[0-9]{2})?$")
            self.assertEqual(choice.finish_reason, "stop")

    def test_max_tokens_cuts_an_answer_with_length(self) -> None:
        with self.assertRaises(openai.LengthFinishReasonError):
            self.parse(max_tokens=4)

    def test_any_json_object(self) -> None:
        answer = self.chat(response_format={"type": "json_object"}, max_tokens=400, temperature=1.0, seed=3)
        text = answer.choices[0].message.content
        self.assertTrue(text.startswith("{"))
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(text), dict)

    def test_a_choice_a_regex_and_a_grammar(self) -> None:
        outputs = lambda **kind: self.text(extra_body={"structured_outputs": kind}, temperature=1.0)
        self.assertIn(outputs(choice=["red", "green"]), ["red", "green"])
        self.assertRegex(outputs(regex="[A-Z]{3}-[0-9]{2}"), "^[A-Z]{3}-[0-9]{2}$")
        self.assertRegex(outputs(grammar='start: "<" inner ">"\ninner: "a" | "b"'), "^<[ab]>$")

    def test_what_cannot_be_honoured_is_a_bad_request_streamed_or_not(self) -> None:
        bomb = {"allOf": [{"anyOf": [{"required": [f"{n}a"]}, {"required": [f"{n}b"]}]} for n in range(40)]}
        for schema in ({"type": "nonsense"}, {"not": {"type": "string"}}, bomb):
            form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            for stream in (False, True):
                with self.assertRaises(openai.BadRequestError) as raised:
                    self.chat(response_format=form, stream=stream)
                self.assertEqual(raised.exception.param, "response_format")
                self.assertEqual(raised.exception.code, "invalid_json_schema")
        for outputs in (
            {"regex": "(a"},
            {"grammar": "start: nothing"},
            {"choice": []},
            {"json": {"type": "nonsense"}},
            {"json": "{"},
            {"regex": "a", "choice": ["a"]},
            {},
        ):
            with self.subTest(outputs=outputs), self.assertRaises(openai.BadRequestError) as raised:
                self.chat(extra_body={"structured_outputs": outputs})
            self.assertTrue(raised.exception.param.startswith("structured_outputs"), raised.exception.param)
        self.assertEqual(self.chat().usage.completion_tokens, 12)


class Errors(ServerCase):
    def refused(self, kind: type[openai.APIStatusError], **more) -> openai.APIStatusError:
        with self.assertRaises(kind) as raised:
            self.chat(**more)
        self.assertTrue(raised.exception.body["message"])
        return raised.exception

    def test_unknown_model_is_not_found(self) -> None:
        error = self.refused(openai.NotFoundError, model="no-such-model")
        self.assertIn("no-such-model", error.body["message"])

    def test_parameter_out_of_range_names_the_parameter(self) -> None:
        self.assertEqual(self.refused(openai.BadRequestError, temperature=9).param, "temperature")
        self.assertEqual(self.refused(openai.BadRequestError, top_p=1.5).param, "top_p")

    def test_no_messages_is_a_bad_request(self) -> None:
        self.refused(openai.BadRequestError, messages=[])

    def test_unknown_role_is_a_bad_request(self) -> None:
        self.refused(openai.BadRequestError, messages=[{"role": "wizard", "content": "hello"}])

    def test_wrong_type_is_a_bad_request(self) -> None:
        self.refused(openai.BadRequestError, max_tokens="many")

    def test_prompt_longer_than_the_context_is_a_bad_request(self) -> None:
        error = self.refused(openai.BadRequestError, messages=[{"role": "user", "content": "word " * 20_000}])
        self.assertIn("context", error.body["message"])

    def test_broken_json_is_a_bad_request(self) -> None:
        request = urllib.request.Request(
            f"{self.server.url}/v1/chat/completions", b'{"model": ', {"Content-Type": "application/json"}
        )
        with self.assertRaises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=10)
        with raised.exception as response:
            self.assertEqual(response.code, 400)
            self.assertIn("message", json.load(response)["error"])

    def test_the_server_answers_after_all_of_this(self) -> None:
        self.refused(openai.BadRequestError, messages=[])
        self.assertEqual(self.chat().usage.completion_tokens, 12)


class Keys(ServerCase):
    arguments = ("--master-key", "sk-the-right-one")
    api_key = "sk-the-right-one"

    def test_the_right_key_is_let_in(self) -> None:
        self.assertEqual(self.chat().usage.completion_tokens, 12)

    def test_a_wrong_key_is_an_authentication_error(self) -> None:
        with self.connect("sk-a-wrong-one") as stranger, self.assertRaises(openai.AuthenticationError) as raised:
            stranger.chat.completions.create(model=self.model, messages=CHAT)
        self.assertNotIn("sk-the-right-one", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
