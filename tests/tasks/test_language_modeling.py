"""The task against reading one token at a time, and everything that must not change an answer."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.core.errors import DataError, OptionError
from deepen.core.figures import Bars, Gallery, Rows
from deepen.data.dataset import Dataset
from deepen.engine.fit import fit
from deepen.engine.options import WEIGHTING, FitOptions, OptimizerOptions
from deepen.metrics.perplexity import Perplexity
from deepen.models import neural_ngram, recurrent_language_model, transformer_language_model
from deepen.nn.dropout import drawing_for
from deepen.nn.next_token import Continuation
from deepen.nn.output_layers import DRAWING, KINDS, OutputOptions
from deepen.ops.decoding import beam_search
from deepen.ops.decoding_options import DecodingOptions
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Draws
from deepen.prepare.text import TextOptions
from deepen.tasks import language_modeling
from deepen.tasks.language_modeling import Options, Task, files, learn, unread
from deepen.verbs.evaluate import evaluate
from deepen.verbs.loaded import loaded
from deepen.verbs.predict import predict
from deepen.verbs.train import train

NETWORKS = {
    "rnn": recurrent_language_model.Options(hidden_size=13, dropout=0.1),
    "gru": recurrent_language_model.Options(hidden_size=13, dropout=0.1),
    "lstm": recurrent_language_model.Options(hidden_size=13, layers=2),
    "neural-ngram": neural_ngram.Options(hidden_size=13),
    "transformer-decoder": transformer_language_model.Options(hidden_size=12, heads=3, layers=2),
}


def corpus(num_lines=300, seed=0, first=0, order=2):
    """Lines of a chain of words, each one of two that the last `order` words allow."""
    draw = np.random.default_rng(seed)
    words = [f"w{number}" for number in range(19)]
    lines = []
    for _ in range(num_lines):
        length = int(draw.integers(0, 9))
        line = [int(draw.integers(19))]
        for _ in range(length):
            line.append((line[-1] * 3 + (line[-2] if len(line) >= order > 1 else 0) + int(draw.integers(2))) % 19)
        lines.append(" ".join(words[each] for each in line[:length]) + "\n")
    blocks = ["".join(lines[at : at + 7]) for at in range(0, num_lines, 7)]
    return pa.table(
        {
            "text": blocks,
            "place": pa.array(range(len(blocks)), pa.int64()),
            "source": [f"a.txt, line {first + 7 * at + 1}" for at in range(len(blocks))],
            "key": [f"{at:032x}" for at in range(len(blocks))],
        }
    )


def task_of(table=None, **options):
    table = corpus() if table is None else table
    model = options.setdefault("model", "lstm")
    chosen = Options(**{"sequence_length": 11, "width": 17, **options})
    state = learn(chosen, table, Dataset("a", "a", {"train": table}), [])
    return Task(chosen, state, NETWORKS.get(model))


def fitted(task, table=None, **options):
    given = {"epochs": 2, "batch_size": 8, "optimizer": OptimizerOptions("adam", 0.01), "clip_norm": 1.0, **options}
    table = corpus() if table is None else table
    return fit(task, task.encode(table, "train", []), None, FitOptions(**given)).model


def stream_of(encoded):
    return encoded.ragged["stream"].values.long()


def scored(task, model, encoded, rows=None):
    metrics = task.metrics()
    rows = np.arange(len(encoded)) if rows is None else rows
    with torch.inference_mode():
        task.score(model.eval(), task.batch(encoded, rows, None), metrics)
    return metrics


@torch.no_grad()
def naive_entropy(model, ids):
    """Nats a token, each after all before it, one token at a time."""
    state, total = None, 0.0
    for index, target in zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True):
        hidden, state = model(torch.tensor([[index]]), state)
        total -= float(model.output_layer.log_probabilities(hidden[:, 0])[0, target])
    return total / (len(ids) - 1)


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm", "neural-ngram"])
def test_evaluation_is_one_uninterrupted_pass_token_by_token(model, monkeypatch):
    """Stretches of 97 tokens after 64 of warm-up, against one pass: a trained state forgets, so to 1e-4 nats."""
    monkeypatch.setattr(language_modeling, "STRETCH", 97)
    task = task_of(model=model, context=64)
    trained = fitted(task).eval()
    encoded = task.encode(corpus(seed=1), "test", [])
    assert len(encoded) > 7
    found = scored(task, trained, encoded)
    assert found.counts()[0] == len(stream_of(encoded)) - 1
    assert found.result()["cross_entropy"] == pytest.approx(naive_entropy(trained, stream_of(encoded)), abs=1e-4)


def test_a_transformer_sees_at_least_its_context(monkeypatch):
    """One token at a time through windows that hold exactly what the promise says, or more."""
    monkeypatch.setattr(language_modeling, "STRETCH", 29)
    task = task_of(model="transformer-decoder")
    model = fitted(task).eval()
    assert task.context == 5  # half of the window of 11
    encoded = task.encode(corpus(53, seed=1), "test", [])
    rows, nats = scored(task, model, encoded).by_token()
    ids, tensors = stream_of(encoded), encoded.tensors
    for row in rows:
        begin, start, stop = (int(tensors[name][row]) for name in ("begin", "start", "stop"))
        for place in range(start + 1, stop + 1):
            seen = [min(place, 11), *range(5, 11)]
            logs = []
            for size in seen:
                if place - size < begin:
                    continue
                with torch.inference_mode():
                    hidden, _ = model(ids[None, place - size : place], None)
                    logs.append(-float(model.output_layer.log_probabilities(hidden[:, -1])[0, ids[place]]))
            if place - begin >= 5:
                assert min(abs(nats[row, place - start - 1] - each) for each in logs) < 1e-4


def test_every_batch_and_every_partition_gives_the_same_figures(monkeypatch):
    monkeypatch.setattr(language_modeling, "STRETCH", 41)
    task = task_of(context=13)
    model = task.build()
    encoded = task.encode(corpus(seed=1), "test", [])
    whole = scored(task, model, encoded)
    merged = Perplexity("word", whole.stretch)
    merged.merge([scored(task, model, encoded, rows).state() for rows in np.array_split(np.arange(len(encoded)), 5)])
    assert merged.result()["cross_entropy"] == pytest.approx(whole.result()["cross_entropy"], rel=1e-6)


@pytest.mark.parametrize("model", ["rnn", "lstm", "neural-ngram"])
def test_read_in_sequence_the_state_goes_on(model):
    """The losses of an epoch in lanes are those of each lane read in one pass."""
    task = task_of(model=model)
    network = task.build().train()
    for module in network.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    encoded = task.encode(corpus(), "train", [])
    order = task.order(encoded, 23, seed=3, epoch=2)
    losses = {}
    for rows in order:
        batch = task.batch(encoded, rows, Draws(3, 2))
        before = [parameter.clone() for parameter in network.parameters()]
        with drawing_for(3, 2, rows, torch.device("cpu")):
            loss = task.loss(network, batch).sum
        task.carried.step(Alone())
        assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
        losses[len(losses)] = float(loss.detach())
    stream = stream_of(encoded)
    first = task.batch(encoded, np.array([0]), Draws(3, 2))["ids"][0]
    offset = next(o for o in range(11) if torch.equal(stream[o : o + 11], first))
    total = 0.0
    for lane in range(len(order[0])):
        begin = offset + lane * 23 * 11
        end = min(begin + 23 * 11, offset + len(encoded) * 11)
        total += naive_entropy(network.eval(), stream[begin : end + 1]) * (end - begin)
    assert sum(losses.values()) == pytest.approx(total, rel=1e-4)


def test_a_state_is_cut_from_its_graph():
    task = task_of()
    network, encoded = task.build().train(), task.encode(corpus(), "train", [])
    for rows in task.order(encoded, 23, seed=0, epoch=0)[:2]:
        network.zero_grad()
        task.loss(network, task.batch(encoded, rows, Draws(0, 0))).sum.backward()
        task.carried.step(Alone())
    states = task.carried.before(task.order(encoded, 23, seed=0, epoch=0)[2], torch.device("cpu"))
    assert all(float(each.abs().sum()) > 0 and not each.requires_grad for each in states.values())


def test_read_at_random_every_window_begins_anew_and_none_is_left_out():
    task = task_of(reading="random")
    assert task.carried is None
    encoded = task.encode(corpus(), "train", [])
    first, second = (task.order(encoded, 9, seed=0, epoch=epoch) for epoch in (0, 1))
    assert sorted(np.concatenate(first).tolist()) == list(range(len(encoded)))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


def test_all_windows_of_an_epoch_move_by_one_offset():
    task = task_of()
    encoded, rows = task.encode(corpus(), "train", []), np.array([4, 0, 7])
    stream, seen = stream_of(encoded), set()
    for epoch in range(40):
        batch = task.batch(encoded, rows, Draws(1, epoch))
        assert torch.equal(batch["ids"][:, 1:], batch["targets"][:, :-1]) and batch.count == 33
        fits = [
            o
            for o in range(11)
            if all(torch.equal(stream[r * 11 + o :][:11], i) for r, i in zip(rows, batch["ids"], strict=True))
        ]
        seen.update(fits)
        assert fits
    assert len(seen) > 7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["gru", "transformer-decoder"])
def test_every_output_layer_learns_and_is_normalized(kind, model):
    """A chain in which the word before counts, so that to learn means to be well below the entropy of single words."""
    more = {"shortlist": {"shortlist": 7}, **{drawing: {"samples": 7} for drawing in DRAWING}}
    more["importance"] = {"samples": 17}  # its ratio of sums is biased where few are drawn, and then runs away
    table = corpus(order=1)
    task = task_of(table, model=model, output=OutputOptions(kind=kind, **more.get(kind, {})))
    encoded = task.encode(corpus(seed=1, order=1), "test", [])
    trained = fitted(task, table, epochs=6, optimizer=OptimizerOptions("adam", 0.03))
    shares = np.bincount(stream_of(encoded)[1:].numpy()) / (len(stream_of(encoded)) - 1)
    alone = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    assert scored(task, trained, encoded).result()["cross_entropy"] < alone - 0.3
    with torch.inference_mode():
        log_p = Continuation(trained, stream_of(encoded)[None, :11]).log_p
    assert float(log_p.double().exp().sum()) == pytest.approx(1, abs=1e-4)


def test_rare_words_of_a_shortlist_go_by_the_word_before():
    """The same network, learned alike, with either tail; the chain's next word is one of two."""
    table, output = corpus(order=1), OutputOptions(kind="shortlist", shortlist=7)
    entropies = {}
    for tail in ("bigram", "unigram"):
        task = task_of(table, model="gru", output=output, tail=tail)
        trained = fitted(task, table, epochs=3)
        encoded = task.encode(corpus(seed=1, order=1), "test", [])
        entropies[tail] = scored(task, trained, encoded).result()["cross_entropy"]
        assert "<unk>" not in "".join(task.generate(trained, "w3", DecodingOptions(length=7)))
    assert entropies["bigram"] < entropies["unigram"] - 0.5
    with pytest.raises(OptionError, match=r"--tail unigram: is about --output\.kind shortlist alone"):
        task_of(tail="unigram")


@pytest.mark.parametrize("features", [0, 2])
def test_smoothed_words_are_spread_over_all_words_in_training_alone(features):
    """A loop over places and words; figures are those of a task without smoothing."""
    options = {"model": "gru", "reading": "random", "ngram_features": features, "feature_table": 101}
    plain, task = (task_of(label_smoothing=each, **options) for each in (0.0, 0.3))
    torch.manual_seed(0)
    network = task.build().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    encoded = task.encode(corpus(), "train", [])
    batch = task.batch(encoded, np.array([0, 3, 7]), Draws(0, 0))
    with torch.no_grad():
        found = float(task.loss(network, batch).sum)
        logs = network.output_layer.log_probabilities(network(batch["ids"])[0].flatten(0, 1)).tolist()
    wanted = 0.0
    for row, target in zip(logs, batch["targets"].flatten().tolist(), strict=True):
        wanted -= sum((0.3 / len(row) + 0.7 * (word == target)) * score for word, score in enumerate(row))
    assert found == pytest.approx(wanted, rel=1e-5)
    held_out = task.encode(corpus(seed=1), "test", [])
    assert scored(task, network, held_out).result() == scored(plain, network, held_out).result()


def test_weights_are_tied_where_they_can_be():
    count = lambda **options: sum(p.numel() for p in task_of(**options).build().parameters())  # noqa: E731
    assert count(tied=False) - count() == 21 * 17
    assert count(output=OutputOptions(kind="class")) > count()
    with pytest.raises(OptionError, match="cannot be"):
        task_of(output=OutputOptions(kind="class"), tied=True).build()


@pytest.mark.parametrize(
    ("level", "eos", "counted", "vocabulary"),
    [
        ("word", None, "6 tokens in 2 lines", 4),  # a, b, <unk>, <eos>
        ("word", False, "4 tokens, no line breaks", 3),
        ("character", None, "8 tokens in 2 lines", 5),  # a, blank, b, line break, <unk>
        ("character", True, "8 tokens in 2 lines", 5),
        ("byte", None, "8 tokens in 2 lines", 256),
    ],
)
def test_what_is_counted_at_each_level(level, eos, counted, vocabulary):
    table = pa.table({"text": ["a b\na b\n"], "place": [0], "source": ["x"], "key": ["0"]})
    task = task_of(table, text=TextOptions(level=level), eos=eos, sequence_length=1)
    faults = []
    encoded = task.encode(table, "test", faults)
    (said,) = [fault.message for fault in faults if fault.kind == "perplexity-test"]
    assert f"{level} level, {counted}" in said and f"vocabulary of {vocabulary}," in said
    assert int((encoded.tensors["stop"] - encoded.tensors["start"]).sum()) == int(counted.split()[0])


def test_lines_are_answered_by_themselves():
    task = task_of()
    model = fitted(task).eval()
    table = pa.table({"text": ["w3 w4 w5", "w7 nothing", ""], "source": ["a", "b", "c"], "key": ["0", "1", "2"]})
    encoded = task.encode(table, "predict", [])
    with torch.inference_mode():
        answers = task.answer(model, task.batch(encoded, np.arange(3), None), ["a", "b", "c"])
    eos = task.words.end
    for line, answer in zip(table.column("text").to_pylist(), answers, strict=True):
        ids = torch.tensor([eos, *task.words.tokenizer.ids(line), eos])
        nats = naive_entropy(model, ids) * (len(ids) - 1)
        assert answer.tokens == len(ids) - 1
        assert answer.log10_probability == pytest.approx(-nats / math.log(10), abs=1e-4)
        assert answer.perplexity == pytest.approx(math.exp(nats / answer.tokens), rel=1e-4)
        probabilities = [probability for _, probability in answer.least_probable]
        assert probabilities == sorted(probabilities) and len(probabilities) == min(3, answer.tokens)
    assert answers[1].text == "w7 <unk>"
    characters = task_of(text=TextOptions(level="character"))
    encoded = characters.encode(table, "predict", [])
    with torch.inference_mode():
        found = characters.answer(characters.build().eval(), characters.batch(encoded, np.arange(3), None), list("abc"))
    assert [answer.tokens for answer in found] == [8, 10, 0]
    assert found[2].perplexity is None and found[2].log10_probability == 0


@pytest.mark.parametrize("model", ["lstm", "neural-ngram", "transformer-decoder"])
def test_what_is_generated(model):
    task = task_of(model=model)
    network = fitted(task)

    def text(prompt="w3 w4", **options):
        return "".join(task.generate(network, prompt, DecodingOptions(length=29, **options)))

    assert text(greedy=True) == text(beam=1) == text(top_k=1) == text(temperature=1e-4)
    assert text(seed=3) == text(seed=3) != text(seed=4)
    assert "<unk>" not in text(temperature=5.0) + text(beam=3)
    assert text(seed=3)[:1] in (" ", "\n")  # goes on behind the prompt's last word
    assert len("".join(task.generate(network, "", DecodingOptions(length=7))).replace("\n", " \n ").split()) <= 7
    with pytest.raises(OptionError, match="--beam are two"):
        text(greedy=True, beam=2)


def test_a_beams_score_is_what_the_line_is_answered_with():
    task = task_of()
    model = fitted(task).eval()
    eos = task.words.end

    def step(choices, state):
        state.step(choices)
        return state.log_p, state

    with torch.inference_mode():
        begun = Continuation(model, torch.tensor([[eos]]))
        found = beam_search(begun.log_p[0], begun, step, Continuation.select, beam=7, length=6, end=eos)
        whole = next(one for one in found if one.choices[-1] == eos and task.words.tokenizer.unknown not in one.choices)
        line = task.words.tokenizer.text(whole.choices[:-1])
        table = pa.table({"text": [line], "source": ["a"], "key": ["0"]})
        encoded = task.encode(table, "predict", [])
        (answer,) = task.answer(model, task.batch(encoded, np.array([0]), None), ["a"])
    assert answer.tokens == len(whole.choices)
    assert answer.log10_probability == pytest.approx(whole.log_probability / math.log(10), abs=1e-4)


def test_mixed_models_mix_probabilities():
    task = task_of()
    first, second = fitted(task, seed=1), fitted(task, seed=2)
    encoded = task.encode(corpus(37, seed=1), "test", [])
    batch = task.batch(encoded, np.arange(len(encoded)), None)
    with torch.inference_mode():
        one, other = task.outputs(first, batch), task.outputs(second, batch)
    mixed = task.combine([one, other], [0.3, 0.7])
    assert torch.allclose(mixed.exp(), 0.3 * one.exp() + 0.7 * other.exp(), atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a a a a a a\n" * 9, "'a' alone"),
        ("a b c d e f g\n", "no two known ones are the same"),
        ("", "no token"),
    ],
)
def test_text_without_anything_to_learn_is_refused(text, said):
    with pytest.raises(DataError, match=said):
        task_of(pa.table({"text": [text], "place": [0], "source": ["x"], "key": ["0"]}))


def test_text_of_less_than_two_windows_is_refused():
    task = task_of(sequence_length=1000)
    with pytest.raises(DataError, match="--sequence-length 1000: expected at least two windows"):
        task.encode(corpus(), "train", [])


def test_a_window_keeps_no_state():
    with pytest.raises(OptionError, match="transformer-decoder sees a window of 11 tokens"):
        _ = task_of(model="transformer-decoder", reading="sequential").carried


def test_counting_reads_nothing_about_learning():
    assert unread(Options()) == WEIGHTING  # windows of a stream have no weights
    found = unread(Options(model="ngram"))
    assert {"optimizer.", "schedule.", "batch_size", "epochs", "clip_norm", "width", "output."} <= set(found)
    assert "label_smoothing" in found
    assert not {"seed", "device", "context", "text."} & set(found)


def test_subwords_come_with_their_tokenizer_file():
    task = task_of(text=TextOptions(level="subword", max_vocabulary=60))
    (content,) = files(task.state).values()
    assert set(files(task.state)) == {"tokenizer.json"} and "model" in content
    assert files(task_of().state) == {}
    assert "".join(task.generate(task.build(), "w3", DecodingOptions(length=5)))


def test_a_counted_model_and_a_network_answer_alike_and_mix(tmp_path):
    for name, given in (("counted", {"model": "ngram"}), ("learned", {"epochs": 3})):
        train("language-modeling", "tiny", given, out=tmp_path / name)
    counted, learned = (evaluate(tmp_path / name).metrics["perplexity"] for name in ("counted", "learned"))
    both = evaluate([tmp_path / "counted", tmp_path / "learned"]).metrics["perplexity"]
    assert both < max(counted, learned)
    best = evaluate([tmp_path / "counted", tmp_path / "learned"], weights="learned")
    assert best.metrics["perplexity"] < both and sum(best.weights) == pytest.approx(1)
    assert best.metrics["perplexity"] < min(counted, learned) * 1.01  # learned on validation, looked at on test
    assert 1 < counted < 3
    (answer, *_) = predict(tmp_path / "counted", "tiny")
    assert answer.tokens == 8


def test_the_report_shows_what_was_counted_and_what_surprises(tmp_path):
    run = train("language-modeling", "tiny", {"epochs": 2}, out=tmp_path / "run")
    model = loaded(run.folder)
    encoded = model.task.encode(language_modeling.TINY.make(0).tables["all"], "test", [])
    figures = model.task.figures(scored(model.task, model.model, encoded), encoded)
    assert [type(each) for each in figures] == [Rows, Bars, Rows, Rows, Gallery]
    assert figures[0].rows[0] == ["tokens (word level)", 3200] and figures[0].rows[-1][-1] == 400
    lines = language_modeling.TINY.make(0).tables["all"].column("text").to_pylist()
    for _, _, said, where in figures[3].rows:
        assert lines[int(where.removeprefix("tiny.txt, line ")) - 1].split() == said.split()[:-1]
    assert "word level" in (run.folder / "report.html").read_text("utf-8")
