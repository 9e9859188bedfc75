"""Retries, background work and webhooks, with the official openai package, unmodified."""

from __future__ import annotations

import http.server
import json
import queue
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import openai

from test_openai import CHAT, INFERENCE_ID, PATIENCE_SECONDS, ServerCase

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Takes webhooks; the first one of each id is refused."""

    def __init__(self) -> None:
        self.heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        seen: set[str] = set()
        heard = self.heard

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_first = self.headers["webhook-id"] not in seen
                seen.add(self.headers["webhook-id"])
                self.send_response(503 if is_first else 200)
                self.end_headers()
                heard.put((dict(self.headers), body))

            def log_message(self, *_) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()


class ComingBack(ServerCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        config = folder / "jetmill.toml"
        config.write_text('[api]\nwebhook_allowed_hosts = ["127.0.0.1"]\n')
        cls.arguments = ("--config", str(config))
        super().setUpClass()

    def keyed(self, key: str, **more):
        create = self.client.chat.completions.with_raw_response.create
        options = {"model": self.model, "messages": CHAT, "max_tokens": 12, "temperature": 1, **more}
        return create(**options, extra_headers={"Idempotency-Key": key})

    def test_a_retry_under_its_key_is_the_same_answer(self) -> None:
        first, again = self.keyed("same"), self.keyed("same")
        self.assertEqual(first.headers[INFERENCE_ID], again.headers[INFERENCE_ID])
        self.assertEqual(first.parse().choices, again.parse().choices)
        self.assertEqual(first.parse().usage, again.parse().usage)
        self.assertNotEqual(first.headers[INFERENCE_ID], self.keyed("other").headers[INFERENCE_ID])

    def test_another_request_under_the_same_key_is_refused(self) -> None:
        self.keyed("used")
        with self.assertRaises(openai.UnprocessableEntityError) as refused:
            self.keyed("used", max_tokens=13)
        self.assertEqual(refused.exception.code, "idempotency_key_reused")

    def test_a_stream_goes_on_where_its_client_stood(self) -> None:
        stream = self.client.chat.completions.with_raw_response.create(
            model=self.model, messages=CHAT, max_tokens=40, temperature=0, stream=True
        )
        whole = "".join(chunk.choices[0].delta.content or "" for chunk in stream.parse())
        url = f"{self.server.url}/v1/inferences/{stream.headers[INFERENCE_ID]}/stream"
        for position in (0, 7, 39):
            text = ""
            with urllib.request.urlopen(f"{url}?starting_after={position}") as rest:
                for line in rest:
                    if line.startswith(b"data: {"):
                        text += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
            self.assertTrue(whole.endswith(text), f"{text!r} after {position}")
            self.assertEqual(text == whole, position == 0)

    def test_background_work_is_watched_and_its_end_is_told_with_a_signature(self) -> None:
        with Receiver() as receiver:
            accepted = self.client.post(
                "/inferences",
                cast_to=object,
                body={
                    "endpoint": "/v1/chat/completions",
                    "body": {"model": self.model, "messages": CHAT, "max_tokens": 12, "temperature": 0},
                    "background": True,
                    "webhook": {"url": receiver.url, "secret": SECRET},
                },
            )
            self.assertIn(accepted["status"], ("queued", "in_progress", "completed"))
            deadline = time.monotonic() + PATIENCE_SECONDS
            document = accepted
            while document["ended_at"] is None and time.monotonic() < deadline:
                document = self.client.get(f"/inferences/{accepted['id']}", cast_to=object)
            self.assertEqual(document["status"], "completed")
            self.assertEqual(document["response"]["choices"][0]["message"]["content"], self.text())
            deliveries = [receiver.heard.get(timeout=PATIENCE_SECONDS) for _ in range(2)]
        for headers, body in deliveries:
            self.client.webhooks.verify_signature(body, headers, secret=SECRET)
            event = json.loads(body)
            self.assertEqual((event["type"], event["data"]["id"]), ("inference.completed", accepted["id"]))
        self.assertEqual(deliveries[0][1], deliveries[1][1])
        self.assertEqual(*({name.lower(): value for name, value in headers.items()}["webhook-id"] for headers, _ in deliveries))
        with self.assertRaises(openai.ConflictError):
            self.client.post(f"/inferences/{accepted['id']}/cancel", cast_to=object)
