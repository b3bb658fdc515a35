"""The report page and model card of a finished run, from what the other rooms found."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepen.bundle.header import read_header
from deepen.core.faults import grouped
from deepen.core.figures import Bars, Figure
from deepen.engine.fit import Fitted, choose_device
from deepen.report import card, html
from deepen.report.content import ReportContent
from deepen.verbs import environment, pretrained
from deepen.verbs.options import Resolved
from deepen.verbs.prepared import Prepared


def main_split(scored: Mapping[str, Any]) -> str:
    """The split whose figures stand for the run: test, else val, else none."""
    return next((name for name in ("test", "val") if name in scored), "")


def write_report(
    folder: Path,
    chosen: Resolved,
    prepared: Prepared,
    fitted: Fitted,
    scored: Mapping[str, Any],
    *,
    more: Sequence[Figure] = (),
    place: Path | None = None,
) -> None:
    """Puts report.html and README.md into the run folder.

    more   figures that stand before the others
    place  where the folder will be, if that is not where it is now
    """
    content = _content(folder, chosen, prepared, fitted, scored)
    usage = [f"deepen {verb} {shlex.quote(str(place or folder))} {rest}" for verb, rest in _USES]
    content = dataclasses.replace(content, figures=[*more, *content.figures], usage=usage)
    html.write_report(folder, content)
    card.write_card(folder, content)


def _content(
    folder: Path, chosen: Resolved, prepared: Prepared, fitted: Fitted, scored: Mapping[str, Any]
) -> ReportContent:
    header = read_header(folder)
    groups = grouped(prepared.faults)
    skipped = [group.sentence() for group in groups if group.level == "sample"]
    return ReportContent(
        title=f"{prepared.dataset.name} · {chosen.task.model}",
        task=str(header["task"]),
        model=chosen.task.model,
        command=str(header["command"]),
        status="done",
        data=str(header["data"]["path"]),  # type: ignore[index]
        layout=prepared.dataset.layout,
        split=prepared.split,
        fingerprint=prepared.fingerprint,
        warnings=[*(f"left out: {text}" for text in skipped), *_sentences(groups, "warning")],
        notes=_sentences(groups, "note"),
        metrics={name: _finite(found.result()) for name, found in scored.items()},
        intervals={name: found.intervals() for name, found in scored.items()},
        objective=prepared.task.objective,
        history=fitted.history,
        pace=fitted.timing,
        timing=_timing(prepared, fitted),
        parameters=num_parameters_of(fitted),
        options=chosen.flat,
        environment={**environment.versions(), **environment.machine(choose_device(chosen.fit.device))},
        figures=[*_figures(prepared, scored), *pretrained.figure(fitted.pretraining)],
    )


_USES = (("predict", "FILE..."), ("evaluate", "DATA"))


def num_parameters_of(fitted: Fitted) -> int:
    """Parameters of the network, frozen ones and those of an average included, tied ones once."""
    return sum(parameter.numel() for parameter in fitted.model.parameters())


def _figures(prepared: Prepared, scored: Mapping[str, Any]) -> list[Figure]:
    split = main_split(scored)
    sizes = {name: len(encoded) for name, encoded in prepared.encoded.items()}
    drawn: list[Figure] = prepared.task.figures(scored[split], prepared.encoded[split]) if split else []
    return [*drawn, Bars("Samples by split", list(sizes), [float(size) for size in sizes.values()], "samples")]


def _timing(prepared: Prepared, fitted: Fitted) -> dict[str, float]:
    """Of training with its evaluations; the median pace, since the first steps of a process are slow."""
    paces = sorted(record["samples_per_second"] for record in fitted.timing)
    if not paces:
        return {"total_seconds": round(fitted.seconds, 2)}
    pace = paces[len(paces) // 2]
    return {
        "total_seconds": round(fitted.seconds, 2),
        "samples_per_second": pace,
        "seconds_per_epoch": round(len(prepared.encoded["train"]) / max(pace, 1e-9), 2),
    }


def _sentences(groups: list[Any], level: str) -> list[str]:
    return [group.sentence() for group in groups if group.level == level]


def _finite(result: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in result.items() if math.isfinite(value)}
