"""Files and batches by the official openai package, unmodified."""

from __future__ import annotations

import io
import json
import time
import unittest

import openai

from test_openai import ServerCase

PATIENCE_SECONDS = 120
FINAL = ("completed", "failed", "expired", "cancelled")


class Batches(ServerCase):
    arguments = ("--max-num-seqs", "4")

    def line(self, number: int, **body) -> dict:
        messages = [{"role": "user", "content": f"Say {number}."}]
        options = {"model": self.model, "messages": messages, "max_tokens": 3, "temperature": 0, **body}
        return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": options}

    def upload(self, *lines: dict | str) -> openai.types.FileObject:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        content = "".join(text + "\n" for text in texts).encode()
        return self.client.files.create(file=("requests.jsonl", io.BytesIO(content)), purpose="batch")

    def begin(self, *lines: dict | str, endpoint: str = "/v1/chat/completions", **more) -> openai.types.Batch:
        file = self.upload(*lines)
        return self.client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more
        )

    def ended(self, batch: openai.types.Batch) -> openai.types.Batch:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (batch := self.client.batches.retrieve(batch.id)).status not in FINAL:
            self.assertLess(time.monotonic(), deadline, batch)
            time.sleep(0.2)
        return batch

    def rows(self, file_id: str | None) -> list[dict]:
        if file_id is None:
            return []
        return [json.loads(line) for line in self.client.files.content(file_id).text.splitlines()]

    def test_a_file_is_kept_as_it_was_until_it_is_deleted(self) -> None:
        content = bytes(range(256)) * 4096
        file = self.client.files.create(file=("some bytes.bin", content), purpose="user_data")
        self.assertEqual((file.object, file.bytes, file.filename), ("file", len(content), "some bytes.bin"))
        self.assertEqual(self.client.files.retrieve(file.id), file)
        self.assertEqual(self.client.files.content(file.id).read(), content)
        self.assertIn(file.id, [one.id for one in self.client.files.list(purpose="user_data")])
        self.assertNotIn(file.id, [one.id for one in self.client.files.list(purpose="batch")])
        deleted = self.client.files.delete(file.id)
        self.assertTrue(deleted.deleted)
        for call in (self.client.files.retrieve, self.client.files.content, self.client.files.delete):
            with self.assertRaises(openai.NotFoundError):
                call(file.id)

    def test_lists_come_in_pages(self) -> None:
        files = [self.client.files.create(file=b"x", purpose="evals") for _ in range(5)]
        wanted = [file.id for file in files]
        self.assertEqual([one.id for one in self.client.files.list(purpose="evals", limit=2, order="asc")], wanted)
        page = self.client.files.list(purpose="evals", limit=2)
        self.assertEqual([one.id for one in page.data], wanted[:2:-1])
        self.assertTrue(page.has_more)

    def test_a_batch_is_answered_line_by_line(self) -> None:
        lines = [self.line(number) for number in range(1, 7)]
        batch = self.begin(*lines[:3], "no JSON", *lines[3:], metadata={"night": "first"})
        self.assertEqual((batch.object, batch.status), ("batch", "validating"))
        batch = self.ended(batch)
        self.assertEqual((batch.status, batch.metadata), ("completed", {"night": "first"}))
        counts = batch.request_counts
        self.assertEqual((counts.total, counts.completed, counts.failed), (7, 6, 1))
        rows = self.rows(batch.output_file_id)
        self.assertEqual([row["custom_id"] for row in rows], [line["custom_id"] for line in lines])
        for row in rows:
            answer = openai.types.chat.ChatCompletion.model_validate(row["response"]["body"])
            self.assertEqual(answer.usage.completion_tokens, 3)
        (failed,) = self.rows(batch.error_file_id)
        self.assertEqual(failed["error"]["code"], "invalid_line")
        self.assertIn(batch.id, [one.id for one in self.client.batches.list(limit=1)])

    def test_completions_are_answered_for_each_prompt(self) -> None:
        body = {"model": self.model, "prompt": ["One", "Two"], "max_tokens": 2, "temperature": 0}
        line = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}
        batch = self.ended(self.begin(line, endpoint="/v1/completions"))
        (row,) = self.rows(batch.output_file_id)
        answer = openai.types.Completion.model_validate(row["response"]["body"])
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        alone = self.client.completions.create(**body)
        self.assertEqual([choice.text for choice in answer.choices], [choice.text for choice in alone.choices])

    def test_log_probabilities_and_echo_are_those_of_the_route(self) -> None:
        body = {"model": self.model, "prompt": "One two", "max_tokens": 2, "temperature": 0, "logprobs": 2, "echo": True}
        line = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}
        batch = self.ended(self.begin(line, endpoint="/v1/completions"))
        (row,) = self.rows(batch.output_file_id)
        alone = self.client.completions.create(**body)
        # As it came: a first token has no log probability, which the client's own types do not foresee.
        (choice,) = alone.model_dump(mode="json", exclude_unset=True, warnings=False)["choices"]
        self.assertEqual(row["response"]["body"]["choices"], [choice])
        self.assertTrue(choice["text"].startswith("One two"))
        body = {"messages": [{"role": "user", "content": "Hi"}], "logprobs": True, "top_logprobs": 2}
        batch = self.ended(self.begin(self.line(1, **body)))
        (row,) = self.rows(batch.output_file_id)
        answer = openai.types.chat.ChatCompletion.model_validate(row["response"]["body"])
        alone = self.client.chat.completions.create(**self.line(1, **body)["body"])
        self.assertEqual(answer.choices, alone.choices)

    def test_files_of_results_can_expire(self) -> None:
        after = {"anchor": "created_at", "seconds": 3600}
        batch = self.ended(self.begin(self.line(1), extra_body={"output_expires_after": after}))
        file = self.client.files.retrieve(batch.output_file_id)
        self.assertAlmostEqual(file.expires_at, file.created_at + 3600, delta=2)

    def test_an_unknown_model_fails_its_lines_alone(self) -> None:
        batch = self.ended(self.begin(self.line(1), self.line(2, model="nobody"), self.line(3)))
        counts = batch.request_counts
        self.assertEqual((batch.status, counts.completed, counts.failed), ("completed", 2, 1))
        (failed,) = self.rows(batch.error_file_id)
        self.assertEqual((failed["custom_id"], failed["response"]["status_code"]), ("line-2", 404))

    def test_an_empty_file_fails_its_batch(self) -> None:
        batch = self.ended(self.begin("", " "))
        self.assertEqual((batch.status, batch.errors.data[0].code), ("failed", "empty_file"))

    def test_a_batch_is_cancelled_once(self) -> None:
        batch = self.begin(*(self.line(number, max_tokens=60) for number in range(1, 41)))
        cancelling = self.client.batches.cancel(batch.id)
        self.assertIn(cancelling.status, ("cancelling", "cancelled"))
        batch = self.ended(batch)
        self.assertEqual(batch.status, "cancelled")
        with self.assertRaises(openai.ConflictError):
            self.client.batches.cancel(batch.id)
        rows = self.rows(batch.output_file_id) + self.rows(batch.error_file_id)
        self.assertEqual(sorted(row["custom_id"] for row in rows), sorted(f"line-{n}" for n in range(1, 41)))

    def test_what_cannot_be_a_batch_is_refused(self) -> None:
        file = self.upload(self.line(1))
        create = self.client.batches.create
        with self.assertRaises(openai.NotFoundError):
            create(input_file_id="file-none", endpoint="/v1/completions", completion_window="24h")
        with self.assertRaises(openai.BadRequestError):
            create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
        with self.assertRaises(openai.BadRequestError):
            create(input_file_id=file.id, endpoint="/v1/completions", completion_window="soon")
        other = self.client.files.create(file=b"x", purpose="evals")
        with self.assertRaises(openai.BadRequestError):
            create(input_file_id=other.id, endpoint="/v1/completions", completion_window="24h")
        with self.assertRaises(openai.NotFoundError):
            self.client.batches.retrieve("batch_none")
        with self.assertRaises(openai.BadRequestError):
            self.client.files.create(file=b"x", purpose="unheard of")


if __name__ == "__main__":
    unittest.main()
