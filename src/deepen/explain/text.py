"""Explaining answers about texts: what each token adds to an answer, what is lost without it, where attention looks.

One class serves texts, pairs of texts and tags of tokens. The network is only known as something with embedding layers
that a batch of ids goes through (explain/text_gates.py); an answer is one output for a text, or one for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core.figures import Figure, MarkedText, Matrix, Sample
from deepen.core.units import plural
from deepen.explain import text_attention
from deepen.explain.explaining import Explanation, Method, Request, Unfit, class_index
from deepen.explain.text_gates import Gates, Side, find_gates, length_of, repeated
from deepen.nn.attention_record import recording
from deepen.ops import attribution
from deepen.prepare.encoded import Batch, Encoded

Kind = Literal["class", "label set", "number", "tags"]
TOLERANCE = 0.05  # of the change, for integrated gradients: the advice of the paper
MOST_PLACES = 40  # tokens whose tags are explained one by one
TOKENS_AT_ONCE = 20_000


@dataclass(frozen=True)
class _Question:
    """One output to be explained: of which token (None: of the whole), which, and what it is called."""

    place: int | None
    output: int
    name: str


@dataclass(frozen=True)
class _Row:
    """One sample: its place in the table, its batch of one, its tokens by side, and what is asked about it."""

    row: int
    batch: Batch
    tokens: list[list[str]]
    questions: list[_Question]

    @property
    def all_tokens(self) -> list[str]:
        return [token for side in self.tokens for token in side]


class TextExplainer:
    """Explains a task that brings texts to classes, labels, a number or tags.

    sides    the texts of a row
    tokens   (encoded, row, side) -> its tokens as they are to be seen, at least as many as it has ids
    kind     what the outputs are: logits [B, K] of a "class" (softmax) or a "label set" (sigmoid each), a "number" [B],
             or logits [B, T, K] of "tags", one for each token of the only side
    outputs  (network, batch) -> these outputs
    target   the column that is answered
    labels   K names; () of a number
    unknown  the id that stands for a token that is left out where the answer is tags
    truth    the name of the batch's tensor of the truth, like the outputs without K; of a label set [B, K]
    answers  (network, batch) -> [B, T] the answered tags; default: the largest outputs
    joiner   what stands between tokens when they are shown
    thresholds  of a label set: the probability from which on each label is answered, 0.5 if not given
    """

    def __init__(
        self,
        *,
        sides: Sequence[Side],
        tokens: Callable[[Encoded, int, Side], Sequence[str]],
        kind: Kind,
        outputs: Callable[[nn.Module, Batch], Tensor],
        target: str,
        labels: Sequence[str] = (),
        unknown: int = 1,
        truth: str = "truth",
        answers: Callable[[nn.Module, Batch], Tensor] | None = None,
        joiner: str = " ",
        thresholds: Sequence[float] = (),
    ) -> None:
        assert kind != "tags" or len(sides) == 1
        self._sides, self._tokens, self._kind, self._outputs = tuple(sides), tokens, kind, outputs
        self._target, self._labels, self._unknown, self._truth = target, tuple(labels), unknown, truth
        self._answers, self._joiner, self._thresholds = answers, joiner, tuple(thresholds) or (0.5,) * len(labels)
        self.methods: dict[str, Method] = {
            "integrated-gradients": Method(
                "what each token's vector adds to the output (Sundararajan et al. 2017)",
                "samples",
                self._integrated_gradients,
                is_default=True,
                reads=("steps",),
            ),
            "occlusion": Method(
                "what the answer loses without a token (Li et al. 2016)", "samples", self._occlusion, is_default=True
            ),
            "attention": Method(
                "where the network's attention looks (Bahdanau et al. 2015)",
                "samples",
                self._attention,
                is_default=True,
            ),
            "gradient-x-input": Method(
                "how strongly a token's vector moves the output, times the vector (Shrikumar et al. 2016)",
                "samples",
                self._gradient_x_input,
            ),
        }

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows with the worst answers."""
        return [each if isinstance(each, int) else each.row for each in metrics.worst(number)]

    def attention_of_worst(
        self, metrics: Any, encoded: Encoded, batch: Callable[[Encoded, np.ndarray, None], Batch]
    ) -> list[Figure]:
        """Where the last attention of the network looks in the worst mistake, else in the first sample, for a report.

        metrics  with the `model` that was scored; where it is None, or has no attention, there is nothing to draw
        batch    the task's own
        """
        model = metrics.model
        if model is None or len(encoded) == 0:
            return []
        wrong = self.worst(metrics, 1)
        row = wrong[0] if wrong else 0
        device = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
        one = batch(encoded, np.array([row], np.int64), None).to(device)
        about = f"{'the worst mistake' if wrong else 'a sample'}, {encoded.source(row)}"
        answer = partial(self._outputs, model, one)
        return text_attention.of_one(model, answer, self._seen(encoded, row, one), self._joiner, about=about)

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """The texts with their answers, and the truth where it is known."""
        class_index(request.options.of_class, self._labels)  # a wrong name is said before anything takes long
        found = []
        for index, row in enumerate(request.rows.tolist()):
            batch = request.task.batch(request.encoded, request.rows[index : index + 1], None).to(request.device)
            told = self._told(request, batch)
            said = [f"{name}: {_words(told[name])}" for name in ("truth", "answer") if name in told]
            if "probability" in told:
                said[-1] += f" ({told['probability']:.0%} sure)"
            texts = [_text(request.encoded, row, side.column) for side in self._sides]
            found.append((Sample([*said, request.encoded.source(row)], text="\n".join(texts)), told))
        return found

    def _integrated_gradients(self, request: Request) -> Explanation:
        found = Explanation()
        most = max(request.options.steps, 1024)
        paths = []
        for each, gates in self._gated(request, "integrated-gradients"):
            shares, told = [], []
            for question in each.questions:
                path = attribution.integrated_gradients(
                    self._function(request, each, question, gates),
                    torch.ones(1, gates.num_tokens, device=request.device),
                    torch.tensor([question.output], device=request.device),
                    torch.zeros(1, gates.num_tokens, device=request.device),
                    steps=request.options.steps,
                    batch_size=self._rows_at_once(each),
                    tolerance=TOLERANCE,
                    most_steps=most,
                )
                change, gap = float(path.change), float(path.gap)
                complete = abs(gap) <= float(attribution.allowed_gap(path.change, TOLERANCE))
                paths.append(complete)
                shares.append(path.values[0].cpu())
                told.append(
                    {"change": change, "sum": change - gap, "gap": gap, "complete": complete, "steps": int(path.steps)}
                )
            notes = [f"sums up to {one['sum']:+.3f} of {one['change']:+.3f}" for one in told]
            self._add(found, each, "integrated gradients", shares, told, notes)
        found.notes.append(
            "Integrated gradients start from a text of zero vectors; orange speaks for the answer, blue against it. "
            f"The tokens should add up to the change of the output on the way: {sum(paths):,} of {len(paths):,} do "
            f"within {TOLERANCE:.0%}" + (f"; the others need more than {most:,} --steps." if not all(paths) else ".")
        )
        return found

    def _gradient_x_input(self, request: Request) -> Explanation:
        found = Explanation()
        for each, gates in self._gated(request, "gradient-x-input"):
            ones = torch.ones(1, gates.num_tokens, device=request.device)
            shares = []
            for question in each.questions:
                function = self._function(request, each, question, gates)
                target = torch.tensor([question.output], device=request.device)
                shares.append(attribution.gradients(function, ones, target)[0].cpu())
            self._add(found, each, "gradient x input", shares)
        found.notes.append(
            "Gradient times input is what a token adds as far as the network is linear; it need not add up."
        )
        return found

    def _occlusion(self, request: Request) -> Explanation:
        found = Explanation()
        for each in self._rows(request):
            whole = self._scores(request, each.batch)[0]
            drops = torch.zeros(len(each.questions), len(each.all_tokens))
            kept = [_picked(whole, question) for question in each.questions]
            for start, batch in self._without(each):
                scores = self._scores(request, batch)
                for q, question in enumerate(each.questions):
                    values = torch.stack([_picked(score, question) for score in scores])
                    drops[q, start : start + len(values)] = kept[q] - values
            lowest = [float(value - drop.max()) for value, drop in zip(kept, drops, strict=True)]
            told = [{"value": float(value), "lowest": low} for value, low in zip(kept, lowest, strict=True)]
            said = [f"from {one['value']:.4g}, at the lowest {one['lowest']:.4g}" for one in told]
            self._add(found, each, "occlusion", list(drops), told, said)
        how = "makes one token unknown" if self._kind == "tags" else "leaves one token out"
        what = "the answer falls" if self._kind == "number" else "the probability falls"
        found.notes.append(f"Occlusion {how} at a time; orange is where {what}. What two tokens say both is not seen.")
        return found

    def _attention(self, request: Request) -> Explanation:
        found = Explanation()
        for each in self._rows(request):
            with torch.no_grad(), recording(request.model) as weights:
                self._outputs(request.model, each.batch)
            if not weights:
                raise Unfit("--method attention: this network has no attention whose weights could be seen.")
            found.panels[each.row], found.by_row[each.row], found.values[each.row] = [], {}, {}
            for number, (name, tensor) in enumerate(weights):
                own = tensor[0].float().cpu()  # [heads, Tq, Tk]
                found.panels[each.row] += text_attention.figures(name, own, each.tokens, self._joiner)
                name = name or "network"
                name = name if name not in found.values[each.row] else f"{name}#{number}"
                found.values[each.row][name] = own
                found.by_row[each.row][name] = {"shape": list(own.shape), "largest": round(float(own.max()), 4)}
        found.notes.append(
            "Attention weights say where a layer looks, not what it makes of it; a token that is looked at need not "
            "matter."
        )
        return found

    def _rows(self, request: Request) -> Iterator[_Row]:
        """Each sample that has a token, telling the progress."""
        asked = class_index(request.options.of_class, self._labels)
        for index, row in enumerate(request.rows.tolist()):
            batch = request.task.batch(request.encoded, request.rows[index : index + 1], None).to(request.device)
            tokens = self._seen(request.encoded, row, batch)
            if any(tokens):
                yield _Row(row, batch, tokens, self._questions(request, batch, tokens[0], asked))
            request.progress((index + 1) / len(request.rows))

    def _seen(self, encoded: Encoded, row: int, batch: Batch) -> list[list[str]]:
        """The tokens of each side, as many as the row's batch of one holds."""
        return [list(self._tokens(encoded, row, side))[: length_of(batch, side)] for side in self._sides]

    def _gated(self, request: Request, method: str) -> Iterator[tuple[_Row, Gates]]:
        has_any = False
        for each in self._rows(request):
            gates = find_gates(request.model, each.batch, self._sides, lambda b: self._outputs(request.model, b))
            if gates.found.any():
                has_any = True
                yield each, gates
        if not has_any:
            raise Unfit(f"--method {method}: no embedding layer of this network gets the tokens of these texts.")

    def _questions(self, request: Request, batch: Batch, tokens: list[str], asked: int | None) -> list[_Question]:
        """What is asked about a sample: one output, or for tags one for each of the first tokens."""
        if self._kind == "number":
            return [_Question(None, 0, self._target)]
        answers = [int(k) for k in self._answered(request, batch)]
        if self._kind == "tags":
            wanted = [k if asked is None else asked for k in answers[: min(len(tokens), MOST_PLACES)]]
            return [_Question(t, k, self._labels[k]) for t, k in enumerate(wanted)]
        output = answers[0] if asked is None else asked
        return [_Question(None, output, self._labels[output])]

    def _answered(self, request: Request, batch: Batch) -> Tensor:
        """[1] the class or the most probable label, or [T] the tags."""
        with torch.no_grad():
            if self._kind == "tags" and self._answers is not None:
                return self._answers(request.model, batch)[0].cpu()
            outputs = self._outputs(request.model, batch)
            return outputs[0].argmax(1).cpu() if self._kind == "tags" else outputs.argmax(1).cpu()

    def _function(self, request: Request, each: _Row, question: _Question, gates: Gates) -> Callable[[Tensor], Tensor]:
        """Gates [n, N] to outputs [n, K] of the token that is asked about, or of the whole."""

        def function(values: Tensor) -> Tensor:
            # cuDNN has no backward pass for a recurrent layer that answers
            with gates.set_to(values), torch.backends.cudnn.flags(enabled=False):
                outputs = self._outputs(request.model, repeated(each.batch, len(values)))
            if question.place is not None:
                return outputs[:, question.place]
            return outputs.reshape(len(values), -1)

        return function

    def _scores(self, request: Request, batch: Batch) -> Tensor:
        """Probabilities, or the number itself: [B, K], of tags [B, T, K]."""
        with torch.no_grad():
            outputs = self._outputs(request.model, batch).float().cpu()
        if self._kind == "number":
            return outputs.reshape(-1, 1)
        return torch.sigmoid(outputs) if self._kind == "label set" else torch.softmax(outputs, -1)

    def _without(self, each: _Row) -> Iterator[tuple[int, Batch]]:
        """(number of the first token, batch) of batches in whose rows one token after the other is left out."""
        start = 0
        for side, tokens in zip(self._sides, each.tokens, strict=True):
            for first in range(0, len(tokens), self._rows_at_once(each)):
                places = torch.arange(first, min(first + self._rows_at_once(each), len(tokens)))
                many = repeated(each.batch, len(places))
                tensors = dict(many.tensors)
                for name in filter(None, (side.ids, side.mask, *side.more)):
                    is_ids = name == side.ids
                    if self._kind == "tags":
                        fill = self._unknown if is_ids else None if name == side.mask else 0
                        tensors[name] = tensors[name] if fill is None else _replaced(tensors[name], places, fill)
                    else:
                        tensors[name] = _left_out(tensors[name], places)
                yield start + first, Batch(tensors, many.count, many.rows)
            start += len(tokens)

    def _add(
        self,
        found: Explanation,
        each: _Row,
        method: str,
        shares: list[Tensor],
        told: list[dict[str, Any]] | None = None,
        said: list[str] | None = None,
    ) -> None:
        """Panels and numbers of one sample: a share of each token [N] for each question."""
        values = torch.stack(shares)  # [questions, N]
        told, said = told or [{} for _ in shares], said or ["" for _ in shares]
        if self._kind == "tags":
            panels = self._tag_panels(each, method, values)
            entries = [
                {"token": each.tokens[0][q.place or 0], "of": q.name, **one, "shares": _rounded(row)}
                for q, one, row in zip(each.questions, told, values, strict=True)
            ]
            q, t = divmod(int(values.abs().argmax()), values.shape[1])
            about = f"{each.tokens[0][q]} {each.questions[q].name}: "
            most = f"{about}{each.all_tokens[t]} {float(values[q, t]):+.3g}"
            found.by_row[each.row] = {"most": most, "tokens": each.all_tokens, "tags": entries}
        else:
            panels = self._text_panels(each, method, values[0], said[0])
            sides = zip(self._sides, values[0].split([len(side) for side in each.tokens]), each.tokens, strict=True)
            shown = {
                side.column: [[token, share] for token, share in zip(tokens, _rounded(row), strict=True)]
                for side, row, tokens in sides
            }
            t = int(values[0].abs().argmax())
            most = f"{each.all_tokens[t]} {float(values[0, t]):+.3g}"
            found.by_row[each.row] = {"most": most, "of": each.questions[0].name, **told[0], "tokens": shown}
        found.panels[each.row] = panels
        found.values[each.row] = {"": values}

    def _text_panels(self, each: _Row, method: str, values: Tensor, said: str) -> list[Sample | Figure]:
        """Each side with its tokens coloured by their share of the largest of all."""
        largest = float(values.abs().max()) or 1.0
        panels: list[Sample | Figure] = []
        name = each.questions[0].name
        note = f"{said}; the strongest colour is a share of {largest:.3g}" if said else f"at most {largest:.3g}"
        for side, row, tokens in zip(
            self._sides, values.split([len(tokens) for tokens in each.tokens]), each.tokens, strict=True
        ):
            title = f"{method} of {name}" + (f": {side.column}" if len(self._sides) > 1 else "")
            panels.append(MarkedText(title, tokens, (row / largest).tolist(), note, joiner=self._joiner))
            note = ""
        return panels

    def _tag_panels(self, each: _Row, method: str, values: Tensor) -> list[Sample | Figure]:
        """A line for each explained tag, a column for each token near enough to be drawn."""
        tokens = each.tokens[0][: len(each.questions)]
        lines = [f"{token}: {question.name}" for token, question in zip(tokens, each.questions, strict=True)]
        cells = [[round(float(share), 3) for share in row[: len(tokens)]] for row in values]
        note = (
            f"the first {len(tokens)} of {plural(len(each.tokens[0]), 'token')}"
            if len(tokens) < len(each.tokens[0])
            else ""
        )
        return [Matrix(f"{method} of each tag", lines, tokens, cells, "tag", "token", note, signed=True)]

    def _told(self, request: Request, batch: Batch) -> dict[str, Any]:
        """The answer and the truth, JSON-able."""
        truth = batch.tensors.get(self._truth) if request.has_targets else None
        told: dict[str, Any] = {}
        if self._kind == "tags":
            length = length_of(batch, self._sides[0])
            told["answer"] = [self._labels[int(k)] for k in self._answered(request, batch)[:length]]
            if truth is not None:
                told["truth"] = [self._name(int(k)) for k in truth[0, :length]]
            return told
        scores = self._scores(request, batch)[0]
        if self._kind == "number":
            told["answer"] = float(scores[0])
        elif self._kind == "class":
            best = int(scores.argmax())
            told |= {"answer": self._labels[best], "probability": round(float(scores[best]), 6)}
        else:
            least = zip(self._labels, scores, self._thresholds, strict=True)
            told["answer"] = [name for name, p, threshold in least if p >= threshold]
            told["probabilities"] = dict(zip(self._labels, _rounded(scores), strict=True))
        if truth is not None:
            told["truth"] = (
                float(truth[0]) if self._kind == "number"
                else self._name(int(truth[0])) if self._kind == "class"
                else [name for name, is_true in zip(self._labels, truth[0], strict=True) if is_true]
            )  # fmt: skip
        return told

    def _name(self, index: int) -> str:
        return self._labels[index] if 0 <= index < len(self._labels) else "(never learned)"

    def _rows_at_once(self, each: _Row) -> int:
        return max(1, min(64, TOKENS_AT_ONCE // len(each.all_tokens)))


def _picked(scores: Tensor, question: _Question) -> Tensor:
    """The score of what is asked: from [K], or [T, K]."""
    return (scores if question.place is None else scores[question.place])[question.output]


def _left_out(tensor: Tensor, places: Tensor) -> Tensor:
    """[n, T, ...] whose row i lacks place i of those given: what follows has moved up, and 0 or False ends it."""
    size = tensor.shape[1]
    source = torch.arange(size)[None] + (torch.arange(size)[None] >= places[:, None])  # [n, T], size where it ends
    wide = torch.cat([tensor, torch.zeros_like(tensor[:, :1])], 1)
    return wide[torch.arange(len(places))[:, None], source]


def _replaced(tensor: Tensor, places: Tensor, value: int) -> Tensor:
    """[n, T, ...] whose row i holds the value at place i of those given."""
    tensor = tensor.clone()
    tensor[torch.arange(len(places)), places] = value
    return tensor


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 6) for value in values]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:,.6g}" if isinstance(value, float) else value


def _text(encoded: Encoded, row: int, column: str) -> str:
    cell = encoded.table.column(column)[row].as_py()
    return " ".join(cell) if isinstance(cell, list) else cell or ""
