"""A worker's rows: who fails alone, what is sent, and how the size of a batch is found."""

from __future__ import annotations

import io
import json
import random
import time

import pytest

from deepen.core.errors import DataError
from deepen.serve import frames
from deepen.serve.answering import About, Outcome
from deepen.serve.worker import computed, measured, prepared, serve


class Planted:
    """Answers with each row's own text; some texts make everything that they stand in fail."""

    about = About("task", "model", "v", [])

    def __init__(self, seconds=lambda count: 0.0):
        self.seconds, self.calls = seconds, 0

    def prepare(self, rows):
        texts = [row["text"] for row in rows]
        if "unreadable" in texts:
            raise DataError("unreadable is no text.")
        return texts

    def answer(self, texts):
        self.calls += 1
        time.sleep(self.seconds(len(texts)))
        if "poison" in texts:
            raise ZeroDivisionError("secret")
        return [self._one(text) for text in texts]

    def _one(self, text):
        return Outcome({"source": "", "said": text, "value": float("inf") if text == "inf" else 1.0})

    def explain(self, row):
        if row["text"] == "unreadable":
            raise DataError("unreadable is no text.")
        return f"<p>{row['text']}"

    def example(self):
        return {"text": "x"}


@pytest.mark.parametrize("seed", range(20))
def test_whoever_fails_fails_alone(seed, capfd):
    draw = random.Random(seed)
    texts = [draw.choice(["good", "good", "good", "unreadable", "poison"]) for _ in range(23)]
    rows = [{"text": text} for text in texts]
    answers = Planted()
    found = computed(answers, prepared(answers, rows), len(rows))
    for text, outcome in zip(texts, found, strict=True):
        if text == "good":
            assert outcome.answer is not None and outcome.answer["said"] == "good"
        elif text == "unreadable":
            assert outcome == Outcome(error="unreadable is no text.")
        else:
            assert outcome.is_ours and "secret" not in outcome.error
    assert ("secret" in capfd.readouterr().err) == ("poison" in texts)


def test_one_bad_row_of_64_costs_few_further_batches():
    answers = Planted()
    rows = [{"text": "poison" if place == 41 else "good"} for place in range(64)]
    computed(answers, prepared(answers, rows), 64)
    assert answers.calls <= 2 * 6 + 1  # two halves per halving, six halvings of 64


def spoken(*messages):
    sink = io.BytesIO()
    serve(Planted, io.BytesIO(b"".join(messages)), sink, measures=False)
    time.sleep(0.3)  # the thread that computes still writes
    found, source = [], io.BytesIO(sink.getvalue())
    while (message := frames.read(source)) is not None:
        found.append(message)
    return found


def test_messages_are_answered_in_their_order_and_nan_is_null():
    rows = [{"text": "a"}, {"text": "unreadable"}, {"text": "inf"}]
    hello, answer, page = spoken(
        frames.packed({"do": "answer", "id": 1, "rows": rows, "places": [7, 0, 2]}),
        frames.packed({"do": "explain", "id": 2, "rows": [{"text": {"blob": 0}}]}, [b"bytes"]),
    )
    assert hello[0]["about"]["task"] == "task"
    assert answer[0]["outcomes"] == ["answer", "error", "answer"] and answer[0]["id"] == 1
    assert json.loads(answer[1][0])["source"] == "rows[7]"
    assert json.loads(answer[1][2]) == {"source": "rows[2]", "said": "inf", "value": None, "not_finite": True}
    assert page[0]["outcomes"] == ["page"] and page[1] == [b"<p>b'bytes'"]


def test_a_model_that_cannot_be_loaded_says_why():
    def make():
        raise DataError("it is broken.")

    sink = io.BytesIO()
    serve(make, io.BytesIO(), sink)
    sink.seek(0)
    assert frames.read(sink) == ({"failed": "it is broken."}, [])


def test_frames_survive_any_bytes_and_end_where_they_are_cut():
    header, blobs = {"text": "\u732b\n", "n": [1, None]}, [b"", bytes(range(256)), b"x" * 70_000]
    whole = frames.packed(header, blobs)
    assert frames.read(io.BytesIO(whole)) == (header, blobs)
    for length in (0, 5, 8, 20, len(whole) - 1):
        assert frames.read(io.BytesIO(whole[:length])) is None


@pytest.mark.parametrize(
    ("seconds", "size", "enough"),
    [
        (lambda count: 0.004 * count, (1, 2, 4, 8), (1, 2)),  # batches gain nothing: a small one, and one row is enough
        (lambda count: 0.02, (64,), (64,)),  # they cost nothing: the largest
        (lambda count: 0.008 + 0.002 * max(0, count - 8) ** 2, (8,), (8,)),  # the best lies between
    ],
)
def test_the_size_of_a_batch_is_measured(seconds, size, enough):
    found = measured(Planted(seconds))
    assert found["batch_size"] in size and found["enough"] in enough and found["rate"] > 0
    assert measured(Planted(), 5)["batch_size"] == 5
