"""What a training step of each output layer for large vocabularies costs, and what it learns in the same time.

    python -m bench.output_layers                 steps against the softmax over all words
    python -m bench.output_layers --train 60      and an LSTM on WikiText-2 with each, for 60 seconds of processor time

All kinds take turns in one process: each round, each of them takes a number of steps (loss, gradient) on the same
hidden states; what is compared are ratios within a round. The optimizer's step is left out: it is the same for all but
shortlist, which has fewer weights. Counts follow Zipf's law.

Training begins from the same weights of the same LSTM (width 256, tied where that can be), with Adam at one rate for
all, on windows of 35 words that follow one another in 20 lanes; the optimizer's step is part of the time. Perplexity is
exact, of the first words of the validation text after some that warm up the state.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from bench.ngram import Corpus
from bench.places import data_set
from bench.rounds import append, say_machine, table
from deepen.models import recurrent_language_model
from deepen.nn.dropout import drawing_for
from deepen.nn.language_network import with_output_layer
from deepen.nn.next_token import output_layer_of
from deepen.nn.output_layers import KINDS, OutputLayer, OutputOptions, build
from deepen.nn.shapes import TextShape
from deepen.nn.shortlist_tail import rare_pairs

PAIRS = "shortlist, tail by pairs"


def main() -> None:
    """Measures and prints a table."""
    arguments = _arguments()
    if arguments.train:
        torch.set_num_threads(arguments.threads)
        say_machine()
        _train_each(arguments)
        return
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    say_machine()
    counts = np.maximum(2_000_000 / np.arange(1, arguments.words + 1) / np.log(arguments.words), 1).astype(int)
    positions = arguments.rows * arguments.positions
    hidden = torch.randn(positions, arguments.width)
    targets = torch.from_numpy(np.random.default_rng(0).choice(len(counts), positions, p=counts / counts.sum()))
    rows_of = torch.arange(arguments.rows).repeat_interleave(arguments.positions)
    layers = {kind: build(kind, arguments.width, counts.tolist(), OutputOptions(kind=kind)) for kind in KINDS}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for round_index in range(arguments.rounds + 1):
        for kind in KINDS[round_index % len(KINDS) :] + KINDS[: round_index % len(KINDS)]:
            taken = _steps(layers[kind], hidden, targets, rows_of, steps=1 if kind == "full" else arguments.steps)
            if round_index:
                seconds[kind].append(taken)
    print(
        f"\n{positions} positions of {arguments.rows} rows, width {arguments.width}, {arguments.words:,} words, "
        f"{OutputOptions().samples} drawn for each row; median of {arguments.rounds} rounds\n"
    )
    print(table(["kind", "ms a step", "full / it"], [_row(kind, seconds) for kind in KINDS]))
    append(arguments.out, {"bench": "output_layers", "seconds": seconds})


def _train_each(arguments: argparse.Namespace) -> None:
    corpus = Corpus(data_set("wikitext2"))
    size = len(corpus.vocabulary)
    texts = {name: torch.from_numpy(ids[ids != size].astype(np.int64)) for name, ids in corpus.ids.items()}
    counts = np.bincount(texts["train"].numpy(), minlength=size).tolist()
    rows = []
    for name in (*KINDS, PAIRS):
        steps, perplexity = _trained(name, counts, texts, arguments)
        rows.append([name, f"{steps / arguments.train:.1f}", f"{steps:,}", f"{perplexity:.0f}"])
        print(" ".join(rows[-1]), flush=True)
    print(f"\n{arguments.train:g} s of processor time each, learning rate {arguments.rate:g}\n")
    print(table(["kind", "steps/s", "steps", "perplexity"], rows))
    append(arguments.out, {"bench": "output_layers_trained", "rows": rows})


def _trained(
    name: str, counts: list[int], texts: dict[str, torch.Tensor], arguments: argparse.Namespace
) -> tuple[int, float]:
    """Steps taken, and the perplexity of validation words after them."""
    torch.manual_seed(0)
    width, lanes, length = arguments.width, arguments.rows, arguments.positions
    own = recurrent_language_model.Options(hidden_size=width, dropout=0.0)
    inner: Any = recurrent_language_model.build("lstm", TextShape(len(counts), pad=-1), width, own)
    options = OutputOptions(kind="shortlist" if name == PAIRS else name)  # type: ignore[arg-type]
    pairs = rare_pairs(texts["train"].numpy(), counts, options.shortlist) if name == PAIRS else None
    network: Any = with_output_layer(inner, width, counts, options, pairs=pairs)
    layer, parameters = output_layer_of(network), list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=arguments.rate)
    stream = texts["train"][: len(texts["train"]) // lanes * lanes].view(lanes, -1)
    rows_of = torch.arange(lanes).repeat_interleave(length)
    state, at, steps, spent = network.initial_state(lanes, torch.device("cpu")), 0, 0, 0.0
    while spent < arguments.train:
        start = time.process_time()
        ids, targets = stream[:, at : at + length], stream[:, at + 1 : at + length + 1]
        with drawing_for(0, 0, np.arange(lanes) + steps * lanes, ids.device):
            hidden, state = network(ids, state)
            loss = layer.loss_sum(hidden.flatten(0, 1), targets.flatten(), rows_of, lanes) / ids.numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        state = tuple(each.detach() for each in state)
        steps, at = steps + 1, at + length
        if at + length + 1 > stream.shape[1]:
            at = 0
        spent += time.process_time() - start
    return steps, _perplexity(network.eval(), texts["valid"][: arguments.scored + 1])


@torch.no_grad()
def _perplexity(network: Any, text: torch.Tensor) -> float:
    layer, warm, state, nats = output_layer_of(network), len(text) // 10, None, []
    for start in range(0, len(text) - 1, 500):
        hidden, state = network(text[None, start : start + 500], state)
        targets = text[start + 1 : start + 501]
        nats.append(-layer.target_log_probabilities(hidden[0, : len(targets)], targets))
    return float(torch.cat(nats)[warm:].double().mean().exp())


def _steps(
    layer: OutputLayer, hidden: torch.Tensor, targets: torch.Tensor, rows_of: torch.Tensor, *, steps: int
) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        layer.zero_grad()
        inputs = hidden.clone().requires_grad_()
        layer.loss_sum(inputs, targets, rows_of).backward()
    return (time.perf_counter() - start) / steps


def _row(kind: str, seconds: dict[str, list[float]]) -> list[str]:
    ratios = sorted(full / it for full, it in zip(seconds["full"], seconds[kind], strict=True))
    compared = "" if kind == "full" else f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    return [kind, f"{1000 * statistics.median(seconds[kind]):.0f}", compared]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.output_layers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--words", type=int, default=33_278, help="the vocabulary; the default is WikiText-2's")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--positions", type=int, default=35, help="of each row")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="of each kind but full in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train", type=float, default=0.0, help="seconds of processor time for each kind")
    parser.add_argument("--rate", type=float, default=0.002, help="learning rate")
    parser.add_argument("--scored", type=int, default=11_000, help="validation words, of which a tenth warms up")
    parser.add_argument("--out", help="a file that gets one JSON line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
