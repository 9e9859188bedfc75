"""Calls of tools through the official openai package, against a real server with a real model."""

from __future__ import annotations

import enum
import json
import unittest

import openai
import pydantic

from test_openai import ServerCase

QUESTION = [{"role": "user", "content": "What is the weather in Rome? Use celsius."}]


class Unit(str, enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class GetWeather(pydantic.BaseModel):
    """Tells the weather of a city."""

    city: str = pydantic.Field(max_length=24)
    unit: Unit


class SetAlarm(pydantic.BaseModel):
    """Rings at an hour of the day."""

    hour: int = pydantic.Field(ge=0, le=23)


TOOLS = [openai.pydantic_function_tool(GetWeather), openai.pydantic_function_tool(SetAlarm)]
MODELS = {"GetWeather": GetWeather, "SetAlarm": SetAlarm}
NAMED = {"type": "function", "function": {"name": "SetAlarm"}}


class Tools(ServerCase):
    def ask(self, **more):
        return self.chat(**{"messages": QUESTION, "tools": TOOLS, "max_tokens": 200, **more})

    def check(self, call) -> pydantic.BaseModel:
        self.assertEqual(call.type, "function")
        self.assertRegex(call.id, r"^call_[0-9a-f]{24}$")
        return MODELS[call.function.name].model_validate_json(call.function.arguments)

    def test_a_required_call_matches_its_schema(self) -> None:
        answer = self.ask(tool_choice="required", parallel_tool_calls=False)
        choice = answer.choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertIsNone(choice.message.content)
        self.assertEqual(len(choice.message.tool_calls), 1)
        self.check(choice.message.tool_calls[0])

    def test_every_choice_makes_a_call_of_its_own(self) -> None:
        answer = self.ask(tool_choice="required", parallel_tool_calls=False, n=3, temperature=1.5, seed=5)
        calls = [choice.message.tool_calls[0] for choice in answer.choices]
        for call in calls:
            self.check(call)
        self.assertEqual(len({call.id for call in calls}), 3)

    def test_a_named_function_is_the_one_that_is_called(self) -> None:
        for stream in (False, True):
            with self.subTest(stream=stream):
                options = {"tool_choice": NAMED, "parallel_tool_calls": False, "stream": stream}
                answer = self.ask(**options)
                if stream:
                    name, arguments, parts = "", "", 0
                    for chunk in answer:
                        for part in chunk.choices[0].delta.tool_calls or []:
                            self.assertEqual(part.index, 0)
                            self.assertEqual(part.id is not None, part.function.name is not None)
                            name += part.function.name or ""
                            arguments += part.function.arguments
                            parts += 1
                    self.assertEqual(name, "SetAlarm")
                    self.assertGreater(parts, 2, "the arguments come in parts")
                    SetAlarm.model_validate_json(arguments)
                    self.assertEqual(chunk.choices[0].finish_reason, "tool_calls")
                else:
                    call = answer.choices[0].message.tool_calls[0]
                    self.assertIsInstance(self.check(call), SetAlarm)

    def test_the_streaming_helper_parses_the_arguments(self) -> None:
        options = {"model": self.model, "messages": QUESTION, "tools": TOOLS, "max_tokens": 200, "temperature": 0}
        with self.client.chat.completions.stream(
            tool_choice="required", parallel_tool_calls=False, **options
        ) as stream:
            call = stream.get_final_completion().choices[0].message.tool_calls[0]
        self.assertIsInstance(call.function.parsed_arguments, tuple(MODELS.values()))

    def test_a_result_goes_back_into_the_conversation(self) -> None:
        message = self.ask(tool_choice="required", parallel_tool_calls=False).choices[0].message
        call = message.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"answer": "sunny, 25 degrees"})}
        answer = self.ask(messages=[*QUESTION, message, result], tool_choice="none", max_tokens=40)
        self.assertTrue(answer.choices[0].message.content.strip())
        self.assertIsNone(answer.choices[0].message.tool_calls)

    def test_a_call_that_the_tokens_do_not_suffice_for_is_cut_off(self) -> None:
        answer = self.ask(tool_choice=NAMED, max_tokens=4)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_tools_that_are_not_needed_change_nothing(self) -> None:
        self.assertEqual(self.text(tools=TOOLS, tool_choice="none"), self.text())

    def test_what_cannot_be_called_is_refused_by_name(self) -> None:
        for more, param in (
            ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools.0.function.name"),
            ({"tools": [], "tool_choice": "required"}, "tool_choice"),
            ({"tool_choice": {"type": "function", "function": {"name": "Nobody"}}}, "tool_choice"),
        ):
            with self.subTest(param=param), self.assertRaises(openai.BadRequestError) as raised:
                self.ask(**more)
            self.assertEqual(raised.exception.param, param)


if __name__ == "__main__":
    unittest.main()
