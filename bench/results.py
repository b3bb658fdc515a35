"""Trains the models of docs/results.md by their commands and writes its table.

Each command runs in a process of its own, as a user runs it, once for each seed. What came out is kept as one line of
JSON in OUT/results.jsonl; a command and seed that stand there already are not run again, so this can be stopped and
started. A run that was stopped goes on. The table is made from all lines there are, whatever they say.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.commands import COMMANDS, Command, named
from bench.places import ROOT, data_set
from bench.rounds import machine, table
from deepen.bundle.header import RUN_FILE
from deepen.verbs.run import Run

PAGE = ROOT / "docs" / "results.md"
START, END = "<!-- results: start -->", "<!-- results: end -->"
COLUMNS = ("command", "figure", "value", "aim", "over seeds", "seconds", "cores")


def main() -> int:
    """Runs what is missing, then writes the table; 1 if a command failed."""
    arguments = _arguments()
    out = Path(arguments.out)
    try:
        chosen = named(arguments.names or ([arguments.only] if arguments.only else []))
    except KeyError as error:
        sys.exit(f"{error.args[0]}: no such command; there is {', '.join(command.name for command in COMMANDS)}.")
    failed = 0
    for command in [] if arguments.table else chosen:
        for seed in (int(word) for word in arguments.seeds.split(",")):
            if not _known(out, command, seed):
                failed += not _run(command, seed, out)
    text = _table(_records(out))
    print(text)
    if not arguments.no_page:
        write_page(Path(arguments.page), text)
    return 1 if failed else 0


def write_page(path: Path, text: str) -> None:
    """Puts the table between the two markers; a page without them, or none, gets them at its end."""
    page = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    if START not in page:
        page = f"{page.rstrip()}\n\n{START}\n{END}\n"
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _run(command: Command, seed: int, out: Path) -> bool:
    """One training; whether it came to its end."""
    folder = out / "runs" / f"{command.name}-seed{seed}"
    path = command.data if command.is_built_in else str(_data_path(command.data))
    words = [*command.words(path), "--seed", str(seed), "--out", str(folder), "--json"]
    words += ["--resume"] if folder.exists() else []
    start = time.monotonic()
    said = _done(folder) or _said(words)
    seconds = time.monotonic() - start
    if said is None:
        return False
    record = {
        "name": command.name,
        "command": command.shown(),
        "seed": seed,
        "metric": command.metric,
        "value": said["metrics"].get(command.metric),
        "training_seconds": round(sum(_training_seconds(run) for run in _run_folders(folder)), 1),
        "wall_seconds": None if "--resume" in words else round(seconds, 1),
        "metrics": said["metrics"],
        "deviation": said.get("deviation"),
        "pooled": said.get("pooled"),
        "machine": machine(),
    }
    out.mkdir(parents=True, exist_ok=True)
    with (out / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return True


def _said(words: list[str]) -> dict[str, Any] | None:
    """What a command says with --json, or None if it failed."""
    print(f"$ {shlex.join(words)}", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"failed with exit code {done.returncode}.", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def _done(folder: Path) -> dict[str, Any] | None:
    """The same from a run that came to its end before its line was written."""
    if not (folder / RUN_FILE).exists() or (run := Run(folder)).header["status"] != "done":
        return None
    return {"run": str(folder), "metrics": run.metrics}


def _data_path(data: str) -> Path:
    name, _, file = data.partition("/")
    return data_set(name) / file if file else data_set(name)


def _run_folders(folder: Path) -> list[Path]:
    """The run folder itself, or those of its folds."""
    return sorted(folder.glob("fold-*")) or [folder]


def _training_seconds(run: Path) -> float:
    lines = (run / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    return float(json.loads(lines[-1])["seconds"]) if lines else 0.0


def _records(out: Path) -> list[dict[str, Any]]:
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _known(out: Path, command: Command, seed: int) -> bool:
    return any(
        (record["name"], record["seed"], record["command"]) == (command.name, seed, command.shown())
        for record in _records(out)
    )


def _table(records: list[dict[str, Any]]) -> str:
    rows = []
    for command in COMMANDS:
        own = [each for each in records if each["name"] == command.name and each["command"] == command.shown()]
        if own := [each for each in own if each["value"] is not None]:
            rows.append(_row(command, own))
    return table(COLUMNS, rows) if rows else "No results yet."


def _row(command: Command, records: list[dict[str, Any]]) -> list[str]:
    values = [record["value"] for record in records]
    first = records[0]
    folds = f"; {first['deviation'][command.metric]:.4f} over folds" if first["deviation"] else ""
    return [
        f"`{command.shown()}`",
        command.metric + (" (mean of folds)" if folds else ""),
        f"{statistics.fmean(values):.4f}",
        _aim(command, statistics.fmean(values)),
        _spread(values) + folds,
        f"{statistics.fmean(record['training_seconds'] for record in records):,.0f}",
        str(first["machine"]["cores"]),
    ]


def _aim(command: Command, value: float) -> str:
    if command.aim is None:
        return ""
    is_met = value >= command.aim if command.better == "higher" else value <= command.aim
    return f"{'≥' if command.better == 'higher' else '≤'} {command.aim:g}{'' if is_met else ', missed'}"


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return "1 seed"
    return f"{min(values):.4f} to {max(values):.4f}, {len(values)} seeds"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.results", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help=", ".join(command.name for command in COMMANDS))
    parser.add_argument("--only", help="the same as one NAME")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--out", default="build/results", help="where runs and results.jsonl are kept")
    parser.add_argument("--page", default=str(PAGE), help="the page whose table is written")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what there is")
    parser.add_argument("--no-page", action="store_true", help="print the table alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
