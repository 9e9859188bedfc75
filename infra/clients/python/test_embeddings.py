"""Embeddings by the official openai package, and reranking, from a server with two models."""

from __future__ import annotations

import json
import os
import unittest
import urllib.request

import openai

from test_openai import ServerCase

MODEL = "all-minilm-l6-v2"
HAPPY = ["That is a happy person", "That is a happy dog", "Today is a sunny day"]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b))


class Embeddings(ServerCase):
    arguments = ("--model", os.environ["CLIENTS_EMBEDDING_MODEL"])

    def embed(self, texts, **more) -> openai.types.CreateEmbeddingResponse:
        return self.client.embeddings.create(model=MODEL, input=texts, **more)

    def post(self, path: str, body: dict) -> dict:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.server.url}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def test_likeness_is_what_the_model_card_says(self) -> None:
        vectors = [item.embedding for item in self.embed(HAPPY).data]
        self.assertAlmostEqual(dot(vectors[0], vectors[1]), 0.6946, delta=1e-3)
        self.assertAlmostEqual(dot(vectors[0], vectors[2]), 0.2569, delta=1e-3)

    def test_default_encoding_and_floats_are_the_same_vector(self) -> None:
        packed = self.embed(HAPPY[0])
        plain = self.embed(HAPPY[0], encoding_format="float")
        self.assertEqual(len(packed.data[0].embedding), 384)
        for a, b in zip(packed.data[0].embedding, plain.data[0].embedding):
            self.assertAlmostEqual(a, b, delta=1e-7)
        self.assertEqual((packed.usage.prompt_tokens, packed.usage.total_tokens), (7, 7))
        self.assertEqual((packed.object, packed.model, packed.data[0].index), ("list", MODEL, 0))

    def test_token_ids_are_taken_one_list_or_several(self) -> None:
        tokens = self.post("/tokenize", {"model": MODEL, "prompt": HAPPY[0]})["tokens"]
        expected = self.embed(HAPPY[0]).data[0].embedding
        self.assertEqual(self.embed(tokens).data[0].embedding, expected)
        self.assertEqual([item.embedding for item in self.embed([tokens, tokens]).data], [expected, expected])

    def test_thousands_of_texts_come_back_in_order(self) -> None:
        texts = [f"number {index % 100}" for index in range(2048)]
        data = self.embed(texts).data
        self.assertEqual([item.index for item in data], list(range(2048)))
        self.assertEqual(data[7].embedding, data[1907].embedding)

    def test_what_cannot_be_embedded_is_told(self) -> None:
        for body, param, code in [
            ({"input": ["a", "word " * 300]}, "input.1", "context_length_exceeded"),
            ({"input": "a", "dimensions": 100}, "dimensions", "invalid_dimensions"),
            ({"input": [""]}, "input.0", None),
        ]:
            with self.assertRaises(openai.BadRequestError) as refused:
                self.client.embeddings.create(model=MODEL, **body)
            self.assertEqual((refused.exception.param, refused.exception.code), (param, code))
        with self.assertRaises(openai.BadRequestError) as refused:
            self.client.embeddings.create(model=self.other, input="a")
        self.assertEqual(refused.exception.code, "unsupported_task")
        with self.assertRaises(openai.BadRequestError) as refused:
            self.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "a"}])
        self.assertEqual(refused.exception.code, "unsupported_task")

    @property
    def other(self) -> str:
        return next(model.id for model in self.client.models.list().data if model.id != MODEL)

    def test_documents_are_ordered_by_their_likeness_to_the_query(self) -> None:
        body = {"model": MODEL, "query": HAPPY[0], "documents": [HAPPY[2], {"text": HAPPY[1]}], "top_n": 1}
        for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
            [best] = self.post(path, body)["results"]
            self.assertEqual((best["index"], best["document"]["text"]), (1, HAPPY[1]))
            self.assertAlmostEqual(best["relevance_score"], 0.6946, delta=1e-3)
        scores = self.post("/v1/score", {"model": MODEL, "text_1": HAPPY[0], "text_2": HAPPY[1:]})["data"]
        self.assertAlmostEqual(scores[1]["score"], 0.2569, delta=1e-3)


if __name__ == "__main__":
    unittest.main()
