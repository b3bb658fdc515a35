"""Explaining what a language model expects: where it is surprised, what each token goes by, where attention looks.

A row may be a whole chapter. Of a long one the tokens are explained in which the model is most surprised, after a part
of what stands before them, which is read and not shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.core.figures import Figure, MarkedText, Matrix, Sample
from deepen.explain import text_attention
from deepen.explain.explaining import Explanation, Method, Request, Unfit
from deepen.explain.text_gates import Gates, Side, find_gates, repeated
from deepen.nn.attention_record import recording
from deepen.nn.next_token import window_of
from deepen.ops import attribution
from deepen.prepare.encoded import Batch

MOST_SHOWN = 40  # tokens of a row that are explained
MOST_BEFORE = 128  # tokens that are read before them
BLANKS = {"\n": "⏎", "\t": "⇥", " ": "␣", "": "∅"}


@dataclass(frozen=True)
class _Piece:
    """What is explained of one row: a batch of one, read in one go.

    before   tokens that are read and not shown
    inputs   the others, each read before
    targets  the token behind it is predicted
    """

    row: int
    batch: Batch
    before: int
    inputs: list[str]
    targets: list[str]

    @property
    def lines(self) -> list[str]:
        """What each predicted token is called, behind the one that is read last."""
        return [f"{read} → {next_one}" for read, next_one in zip(self.inputs, self.targets, strict=True)]


class LanguageExplainer:
    """Explains a network that gives each next token a probability.

    outputs  (network, batch) -> ln p of the targets [B, S] from the place `first` on. A batch has ids and targets
             [B, L] int64, and first and length [B] int64, as nn/next_token.py has them
    token    id -> as it is to be seen
    hidden   the id that stands in occlusion for a token that is not seen
    joiner   what stands between tokens when they are shown
    """

    def __init__(
        self,
        *,
        outputs: Callable[[nn.Module, Batch], Tensor],
        token: Callable[[int], str],
        hidden: int,
        joiner: str = " ",
    ) -> None:
        self._outputs, self._token, self._hidden, self._joiner = outputs, token, hidden, joiner
        self.methods: dict[str, Method] = {
            "surprise": Method(
                "how little each token was expected, -log2 p (Shannon 1948)",
                "samples",
                self._surprise,
                is_default=True,
            ),
            "attention": Method(
                "where the network's attention looks (Bahdanau et al. 2015)",
                "samples",
                self._attention,
                is_default=True,
            ),
            "occlusion": Method(
                "what each token's probability loses without one before it (Li et al. 2016)",
                "samples",
                self._occlusion,
                is_default=True,
            ),
            "gradient-x-input": Method(
                "how strongly the vector of a token moves those behind it, times the vector (Shrikumar et al. 2016)",
                "samples",
                self._gradient_x_input,
            ),
        }

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows with the largest loss a token."""
        rows, nats = metrics.by_token()
        seen = ~np.isnan(nats)
        means = np.where(seen, nats, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
        return rows[np.argsort(-means, kind="stable")][:number].tolist()

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """What is explained of each row, with its perplexity."""
        if request.options.of_class:
            raise OptionError(f"--of-class {request.options.of_class}: a next token is no class; leave it out.")
        pieces = {piece.row: piece for piece in self._pieces(request)}
        found = []
        for row in request.rows.tolist():
            source = request.encoded.source(row)
            if row not in pieces:
                found.append((Sample(["nothing is predicted here", source]), {"answer": None}))
                continue
            piece = pieces[row]
            logs = self._logs(request, piece.batch)[0]
            perplexity = math.exp(min(700.0, float(-logs.mean())))
            told = {"answer": round(perplexity, 4)}
            said = f"perplexity {perplexity:,.4g} of {len(logs)} tokens"
            more = [f"after {piece.before} tokens that are not shown"] if piece.before else []
            found.append((Sample([said, *more, source], text=self._joiner.join(piece.targets)), told))
        return found

    def _surprise(self, request: Request) -> Explanation:
        found = Explanation()
        for piece in self._pieces(request):
            bits = -self._logs(request, piece.batch)[0] / math.log(2)
            largest = float(bits.max()) or 1.0
            note = f"{float(bits.mean()):.2f} bits a token; the strongest colour is {largest:.1f} bits"
            weights = [float(each) / largest for each in bits]
            found.panels[piece.row] = [MarkedText("surprise", piece.targets, weights, note, joiner=self._joiner)]
            pairs = zip(piece.targets, bits.tolist(), strict=True)
            most = f"{piece.targets[int(bits.argmax())]} {largest:.1f} bits"
            found.by_row[piece.row] = {"most": most, "bits": [[token, round(each, 4)] for token, each in pairs]}
            found.values[piece.row] = {"": bits}
        found.notes.append(
            "Surprise is -log2 of the probability: 1 bit is a coin's, and each bit more is half as much."
        )
        return found

    def _attention(self, request: Request) -> Explanation:
        found = Explanation()
        for piece in self._pieces(request):
            with torch.no_grad(), recording(request.model) as weights:
                self._outputs(request.model, piece.batch)
            if not weights:
                raise Unfit("--method attention: this network has no attention whose weights could be seen.")
            found.panels[piece.row], found.by_row[piece.row], found.values[piece.row] = [], {}, {}
            for number, (name, tensor) in enumerate(weights):
                own = tensor[0, :, piece.before :, piece.before :].float().cpu()  # [heads, n, n]
                found.panels[piece.row] += text_attention.figures(name, own, [piece.inputs], self._joiner)
                name = name or "network"
                name = name if name not in found.values[piece.row] else f"{name}#{number}"
                found.values[piece.row][name] = own
                found.by_row[piece.row][name] = {"shape": list(own.shape), "largest": round(float(own.max()), 4)}
        found.notes.append(
            "Attention is that of the place which has just read the token of its line, and predicts the next one. It "
            "says where a layer looks, not what it makes of it."
        )
        return found

    def _occlusion(self, request: Request) -> Explanation:
        found = Explanation()
        for piece in self._pieces(request):
            whole = self._logs(request, piece.batch)[0]
            count = len(piece.inputs)
            many = repeated(piece.batch, count)
            ids = many["ids"].clone()
            ids[torch.arange(count), piece.before + torch.arange(count)] = self._hidden
            without = self._logs(request, Batch({**many.tensors, "ids": ids}, many.count, many.rows))
            self._add(found, piece, "occlusion", (whole - without).T)  # [targets, inputs]
        found.notes.append(
            "Occlusion hides one token at a time: what ln p of each token behind it falls by. What two tokens say both "
            "is not seen."
        )
        return found

    def _gradient_x_input(self, request: Request) -> Explanation:
        found, side = Explanation(), Side("ids", "", "")
        for piece in self._pieces(request):
            gates = find_gates(request.model, piece.batch, [side], lambda b: self._outputs(request.model, b))
            if not gates.found.any():
                raise Unfit("--method gradient-x-input: no embedding layer of this network gets the tokens.")
            ones = torch.ones(1, gates.num_tokens, device=request.device)
            function = self._function(request, piece, gates)
            places = [torch.tensor([place], device=request.device) for place in range(len(piece.targets))]
            shares = [attribution.gradients(function, ones, place)[0].cpu() for place in places]
            self._add(found, piece, "gradient x input", torch.stack(shares)[:, piece.before :])
        found.notes.append(
            "Gradient times input is what a token adds to ln p of those behind it as far as the network is linear."
        )
        return found

    def _function(self, request: Request, piece: _Piece, gates: Gates) -> Callable[[Tensor], Tensor]:
        """Gates [n, L] to ln p [n, S]."""

        def function(values: Tensor) -> Tensor:
            # cuDNN has no backward pass for a recurrent layer that answers
            with gates.set_to(values), torch.backends.cudnn.flags(enabled=False):
                return self._outputs(request.model, repeated(piece.batch, len(values)))

        return function

    def _logs(self, request: Request, batch: Batch) -> Tensor:
        """ln p [B, S] on the CPU."""
        with torch.no_grad():
            return self._outputs(request.model, batch).float().cpu()

    def _pieces(self, request: Request) -> Iterator[_Piece]:
        """What is explained of each row in which something is predicted, telling the progress."""
        for index, row in enumerate(request.rows.tolist()):
            batch = request.task.batch(request.encoded, request.rows[index : index + 1], None).to(request.device)
            first, length = int(batch["first"]), int(batch["length"])
            if length > first:
                yield self._piece(row, batch, *self._chosen(request, batch, first, length))
            request.progress((index + 1) / len(request.rows))

    def _chosen(self, request: Request, batch: Batch, first: int, length: int) -> tuple[int, int, int]:
        """From where is read, from where shown, and up to where."""
        window = window_of(request.model)
        most = MOST_SHOWN if window is None else min(MOST_SHOWN, window)
        start, stop = first, length
        if length - first > most:
            logs = self._logs(request, batch)[0, : length - first]
            sums = (-logs).unfold(0, most, 1).sum(1)
            start = first + int(sums.argmax())
            stop = start + most
        before = MOST_BEFORE if window is None else window - (stop - start)
        return max(0, start - before), start, stop

    def _piece(self, row: int, batch: Batch, begin: int, start: int, stop: int) -> _Piece:
        tensors = {name: batch[name][:, begin:stop] for name in ("ids", "targets")}
        tensors["first"] = torch.full_like(batch["first"], start - begin)
        tensors["length"] = torch.full_like(batch["length"], stop - begin)
        names = {name: [self._shown(int(k)) for k in batch[name][0, start:stop]] for name in ("ids", "targets")}
        part = Batch(tensors, stop - start, batch.rows)
        return _Piece(row, part, start - begin, names["ids"], names["targets"])

    def _shown(self, index: int) -> str:
        token = self._token(index)
        return BLANKS.get(token, token)

    def _add(self, found: Explanation, piece: _Piece, method: str, values: Tensor) -> None:
        """A line for each predicted token, a column for each that is read; [targets, inputs]."""
        cells = [[round(float(value), 3) for value in line] for line in values]
        panel: Sample | Figure = Matrix(
            f"{method} of each next token", piece.lines, piece.inputs, cells, "next", "read", signed=True
        )
        found.panels[piece.row] = [panel]
        line, column = divmod(int(values.abs().argmax()), values.shape[1])
        most = f"{piece.targets[line]}: {piece.inputs[column]} {float(values[line, column]):+.3g}"
        found.by_row[piece.row] = {
            "most": most,
            "tokens": piece.inputs,
            "next": [
                {"token": token, "shares": [round(float(value), 6) for value in line]}
                for token, line in zip(piece.targets, values, strict=True)
            ],
        }
        found.values[piece.row] = {"": values}


def token_names(vocabulary: Sequence[str]) -> Callable[[int], str]:
    """id -> its token; a number for one outside."""
    return lambda index: vocabulary[index] if 0 <= index < len(vocabulary) else str(index)
