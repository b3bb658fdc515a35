"""Reading a text call by call: a graph made by hand whose answers tell what it was given."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.nn import next_token
from deepen.prepare import language_rows
from deepen.prepare.text import TextOptions
from deepen.runtime import prepare_stream
from deepen.runtime.answer_lines import Answers
from deepen.runtime.prepare_stream import Calls, from_first

LENGTHS, FIRST = np.array([29, 11, 23, 1]), np.array([5, 0, 23, 0])


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, 13, (4, 30))
    return {"ids": ids[:, :-1], "targets": ids[:, 1:], "first": FIRST, "length": LENGTHS}


def state(**changes) -> dict:
    return {"window": None, "begun": [[0.5, 1], [0.0, 1]], "words": 13, "context": 3} | changes


class Summing:
    """A state of two numbers: half and the sum of all ids so far; what is said of a target is that sum and the id."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, given) -> np.ndarray:
        self.lengths.append(given["ids"].shape[1])
        half, before = given["state"][:, :1], given["state"][:, 1:]
        sums = before + given["ids"].cumsum(1)
        said = -(half * sums + given["targets"])
        return np.concatenate([said, half, sums[:, -1:]], 1).astype(np.float32)


@pytest.mark.parametrize("positions", [1, 28, 4096])
def test_parts_hand_their_state_on_and_leave_nothing_out(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_stream, "MOST_POSITIONS", positions)
    given, graph = arrays(), Summing()
    calls = Calls(state())
    found = calls.outputs(graph, given)
    assert sum(graph.lengths) == 29 and len(graph.lengths) == -(-29 // max(1, positions // 4))
    whole = -(0.5 * given["ids"].cumsum(1) + given["targets"])
    assert found.shape == (4, 24)
    for row, (first, length) in enumerate(zip(FIRST, LENGTHS, strict=True)):
        assert found[row, : length - first].tolist() == whole[row, first:length].tolist()
        assert np.isnan(found[row, length - first :]).all()
    begun = calls.first(given)
    assert begun["ids"].shape == begun["targets"].shape == (4, graph.lengths[0])
    assert begun["state"].tolist() == [[0.5, 0.0]] * 4


class Windowed(torch.nn.Module):
    """Says of each word how many places of the window stand before it: the further, the less probable is word 0."""

    window = 11

    def __init__(self) -> None:
        super().__init__()
        self.output_layer = self

    def forward(self, ids, before=None):
        assert ids.shape[1] <= self.window
        return torch.stack([torch.arange(ids.shape[1]).expand(ids.shape), ids], 2).float(), ()

    def target_log_probabilities(self, hidden, targets):
        return -(hidden[:, 0] + 0.01 * hidden[:, 1] + 0.0001 * targets)


@pytest.mark.parametrize("context", [1, 5, 40])
def test_windows_are_those_of_the_network(context: int) -> None:
    given = arrays(1)
    graph = Windowed()

    def call(inputs) -> np.ndarray:
        assert inputs.keys() == {"ids", "targets"}
        hidden, _ = graph(torch.from_numpy(inputs["ids"]))
        said = graph.target_log_probabilities(hidden.flatten(0, 1), torch.from_numpy(inputs["targets"]).flatten())
        return said.view(inputs["ids"].shape).numpy()

    found = Calls(state(window=11, begun=[], context=context)).outputs(call, given)
    tensors = (torch.from_numpy(given[name]) for name in ("ids", "targets", "first", "length"))
    own = next_token.surprise(graph, *tensors, context=context)
    np.testing.assert_array_equal(found, -own.numpy())


def test_rows_begin_at_their_first_scored_place() -> None:
    found = np.random.default_rng(2).normal(size=(4, 29)).astype(np.float32)
    own = next_token.from_first(torch.from_numpy(found), torch.from_numpy(FIRST), torch.from_numpy(LENGTHS))
    np.testing.assert_array_equal(from_first(found, FIRST, LENGTHS), own.numpy())


LINES = ["a b c a", "", "c", "b a b c c a b"]


@pytest.mark.parametrize("level", ["word", "character"])
def test_rows_are_those_that_the_task_scores(level: str) -> None:
    table = pa.table({"text": ["\n".join(LINES) + "\n"], "source": ["x.txt, line 1"]})
    options = TextOptions(level=level)  # type: ignore[arg-type]
    learned, ids = language_rows.learn(table, options, None, [])
    cuts = {"sequence_length": 3, "stretch": 5, "context": 2}
    made = {**learned, **state(), **cuts}
    scored = prepare_stream.prepared(table, made, "test", [])
    assert scored.stream.tolist() == ids.tolist()
    targets: list[int] = []
    for place in scored.kept:
        each = scored.arrays(np.array([place]))
        targets += each["targets"][0, each["first"][0] : each["length"][0]].tolist()
    assert targets == ids[1:].tolist()  # each token once, in order
    lines = prepare_stream.prepared(table, made, "predict", [])
    assert lines.samples.column("source").to_pylist() == [f"x.txt, line {row + 1}" for row in range(len(LINES))]
    answering = Answers({**learned, "stretch": 7})
    given = lines.arrays(lines.kept)
    logs = from_first(np.full(given["ids"].shape, np.log(0.5), np.float32), given["first"], given["length"])
    answers = answering.answers(logs, given, lines.samples)
    assert [each.text for each in answers] == LINES
    ends = 1 if learned["has_ends"] else 0
    own = [len(line.split()) if level == "word" else len(line) for line in LINES]
    assert [each.tokens for each in answers] == [count + ends for count in own]
    for each in answers:
        assert each.log10_probability == pytest.approx(each.tokens * np.log10(0.5), rel=1e-6)
        assert each.perplexity == (pytest.approx(2, rel=1e-6) if each.tokens else None)


def test_a_text_of_nothing_but_empty_lines_is_answered() -> None:
    learned, _ = language_rows.learn(
        pa.table({"text": ["aab\n"], "source": ["x"]}), TextOptions(level="character"), None, []
    )
    made = {**learned, **state(), "sequence_length": 3, "stretch": 5, "context": 2}
    lines = prepare_stream.prepared(pa.table({"text": ["\n"], "source": ["y.txt, line 1"]}), made, "predict", [])
    given = lines.arrays(lines.kept)
    logs = Calls(made).outputs(Summing(), given)
    (answer,) = Answers({**learned, "stretch": 7}).answers(logs, given, lines.samples)
    assert answer.tokens == 0 and answer.perplexity is None and answer.log10_probability == 0


def test_the_difference_of_a_call_counts_its_state_and_that_of_a_text_its_places() -> None:
    learned, _ = language_rows.learn(
        pa.table({"text": ["aab\n"], "source": ["x"]}), TextOptions(level="character"), None, []
    )
    answering = Answers({**learned, "stretch": 7})
    given = {"ids": np.zeros((2, 3), np.int64)}
    logs = np.log(np.array([[0.5, 0.25, 0.5], [1, 0.5, np.nan]], np.float32))
    other = logs + np.array([[0, np.log(1.5), 0], [0, 0, 0]], np.float32)
    assert answering.apart(logs, other, given) == pytest.approx(0.125, abs=1e-6)
    wide, far = (np.concatenate([each, [[7.0], [1000.0]]], 1) for each in (logs, logs))
    far[1, 3] += 0.25
    assert answering.apart(wide, far, given) == 0.25
    assert np.isnan(answering.apart(logs, np.nan_to_num(logs), given))
