"""Explaining real runs of the tiny data sets: what is planted in them is what is found."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.bundle import tensors as bundled
from deepen.core.errors import DataError, FileError, OptionError, RunError
from deepen.data.dataset import Dataset, content_key
from deepen.tasks.image_classification import TINY
from deepen.verbs.explain import explain
from deepen.verbs.loaded import loaded
from deepen.verbs.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def bars(folder):
    """LeNet on bright bars over noise."""
    return train("image-classification", "tiny", {"model": "lenet", "epochs": 12}, out=folder / "bars").folder


@pytest.fixture(scope="module")
def stays(folder):
    """TabM on visitors who stay or leave."""
    return train("tabular-classification", "tiny", out=folder / "stays").folder


@pytest.fixture(scope="module")
def rents(folder):
    """TabM on rents."""
    return train("tabular-regression", "tiny", out=folder / "rents").folder


def bright(run):
    """Pixels [N, H, W] bool of the run's own test split that belong to a bar, by source."""
    tables = TINY.make(0).tables["all"]
    pixels = tables.column("image").combine_chunks().to_numpy_ndarray()[..., 0]
    return dict(zip(tables.column("source").to_pylist(), pixels == 230, strict=True))


def test_the_shortest_command_explains_the_worst_answers_by_where_the_bar_is(bars):
    result = explain(bars)
    assert result.folder == bars / "explanation" and result.split == "test" and len(result.samples) == 8
    assert sorted(result.methods) == ["grad-cam", "integrated-gradients", "occlusion", "saliency"]
    values = bundled.decode((result.folder / "values.safetensors").read_bytes(), result.folder)[0]
    masks, shares = bright(bars), []
    assert len(values) == 8 * 4
    for number, sample in enumerate(result.samples, start=1):
        positive = values[f"integrated-gradients.{number:03d}"].sum(0).clamp_min(0)
        shares.append(float(positive[torch.from_numpy(masks[sample["source"]])].sum() / positive.sum()))
        assert sample["integrated-gradients"]["complete"]
    assert np.median(shares) > 0.6, shares  # a bar is 11 of 121 pixels, a cross 21
    told = json.loads((result.folder / "explanation.json").read_text())
    assert told["samples"] == json.loads(json.dumps(result.samples)) and told["format"] == "deepen explanation 1"
    assert len(list((result.folder / "pictures").glob("*.png"))) == 8 * 5
    page = result.page.read_text()
    assert page.count("<img src=") == 8 * 5 and "<script" not in page and "http" not in page.split("</style>")[1]


def test_it_changes_nothing_in_the_run_and_gives_the_same_again(bars, tmp_path):
    before = {path.name: path.read_bytes() for path in bars.iterdir() if path.is_file()}
    one, two = (explain(bars, given={"samples": 3, "method": "smoothgrad"}, out=tmp_path / name) for name in "ab")
    assert {path.name: path.read_bytes() for path in bars.iterdir() if path.is_file()} == before
    assert one.samples == two.samples
    assert (tmp_path / "a" / "values.safetensors").read_bytes() == (tmp_path / "b" / "values.safetensors").read_bytes()
    assert loaded(bars).header["status"] == "done"


def test_the_worst_answers_come_first(bars, stays):
    model = loaded(stays)
    result = explain(stays, given={"method": "occlusion", "samples": 6, "references": 5})
    losses = [-np.log(s["probability"] if s["truth"] == s["answer"] else 1 - s["probability"]) for s in result.samples]
    wrong = [s["truth"] != s["answer"] for s in result.samples]
    first = sum(wrong[:3])
    assert losses[:first] == sorted(losses[:first], reverse=True) and wrong[:first] == [True] * first
    assert len({s["source"] for s in result.samples}) == 6 and model.task.labels == ["no", "yes"]


def test_named_pictures_are_explained_without_a_truth(bars, tmp_path):
    from PIL import Image

    image = np.full((11, 11), 40, np.uint8)
    image[:, 4] = 230
    Image.fromarray(image).save(tmp_path / "down.png")
    result = explain(bars, tmp_path / "down.png", {"method": ("occlusion", "grad-cam")}, out=tmp_path / "why")
    (sample,) = result.samples
    assert "truth" not in sample and sample["source"].endswith("down.png") and sample["answer"] == "down"
    assert 3 <= sample["occlusion"]["peak"][1] <= 5 and result.split == "input"


def test_data_in_memory_with_known_truth(bars, tmp_path):
    made = TINY.make(3)
    given = Dataset("more", "made up", {"all": made.tables["all"].slice(0, 60)})
    result = explain(bars, given, {"method": "saliency", "samples": 5}, out=tmp_path / "why")
    assert len(result.samples) == 5 and all(sample["truth"] in ("across", "down", "cross") for sample in result.samples)
    unknown = pa.table({**{n: given.tables["all"].column(n) for n in ("image", "source", "key")}, "label": ["?"] * 60})
    other = explain(bars, Dataset("x", "x", {"all": unknown}), {"method": "saliency"}, out=tmp_path / "other")
    assert len(other.samples) == 50 and "truth" not in other.samples[0]
    assert any("first 50 of 60" in fault.message for fault in other.faults)


def test_the_columns_that_the_data_was_made_from_are_found(stays, rents):
    for run, columns in ((stays, {"age", "city", "minutes"}), (rents, {"area", "district", "year"})):
        result = explain(run, given={"samples": 4})
        assert list(result.methods) == ["permutation", "partial-dependence", "shapley"]
        found = result.methods["permutation"]["columns"]
        assert set(found) == columns and all(
            each["importance"] > 2 * each["deviation"] / 5**0.5 for each in found.values()
        )
        for sample in result.samples:
            told = sample["shapley"]
            assert sum(told["columns"].values()) == pytest.approx(
                told["value"] - told["reference"], abs=1e-6 * abs(told["value"])
            )
        assert sorted(path.suffix for path in (result.folder / "pictures").iterdir())[0] == ".svg"
    rises = result.methods["partial-dependence"]["area"]["mean"]["rent"]
    assert rises[-1] > 2 * rises[0]  # a large flat costs more


def test_a_table_without_targets_leaves_permutation_out_and_says_so(stays, tmp_path):
    (tmp_path / "new.csv").write_text("age,minutes,city\n20,1.5,Oslo\n70,,Accra\n44,9.1,Lima\n")
    result = explain(stays, tmp_path / "new.csv", out=tmp_path / "why")
    assert list(result.methods) == ["partial-dependence", "shapley"] and len(result.samples) == 3
    assert any("permutation is left out: it needs data whose truth is known" in note for note in result.notes)
    assert result.samples[1]["shapley"]["columns"]["city"] > 0  # Accra stays
    with pytest.raises(OptionError, match="--method permutation: the truth has to be known"):
        explain(stays, tmp_path / "new.csv", {"method": "permutation"}, out=tmp_path / "why")


def test_a_table_with_targets_is_scored(stays, tmp_path):
    table = loaded(stays)
    lines = ["age,minutes,city,stays"] + [f"{20 + n},{n / 7:.2f},Kyoto,{'yes' if n > 25 else 'no'}" for n in range(53)]
    (tmp_path / "known.csv").write_text("\n".join(lines))
    result = explain(stays, tmp_path / "known.csv", {"method": "permutation"}, out=tmp_path / "why")
    assert result.methods["permutation"]["rows"] == 53 and result.samples == [] and table.task.labels == ["no", "yes"]
    assert result.methods["permutation"]["columns"]["city"]["importance"] == 0  # the same in every row


def test_faults_are_one_sentence_and_leave_what_was_there(bars, stays, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    cases = [
        (bars, (), {"method": "gradcam"}, OptionError, "did you mean grad-cam"),
        (bars, (), {"method": "permutation"}, OptionError, "no such method for this task"),
        (bars, (), {"methud": "x"}, OptionError, "methud: no such option; did you mean method"),
        (bars, (), {"layer": "head.99"}, OptionError, "--layer head.99: no such layer"),
        (bars, (), {"repeats": 7}, OptionError, "--repeats: .* do not read it; this task has no method that does"),
        (stays, (), {"of_class": "maybe"}, OptionError, "--of-class maybe: no such class"),
        (bars, tmp_path / "nothing.png", {}, DataError, "no such file"),
        (tmp_path, (), {}, RunError, "run"),
    ]
    for run, inputs, given, kind, words in cases:
        with pytest.raises(kind, match=words):
            explain(run, inputs, given, out=tmp_path / "why")
    assert not (tmp_path / "why").exists()
    with pytest.raises(FileError, match=r"holds 'mine\.txt'"):
        explain(bars, out=tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_progress_reaches_the_end_and_is_closed(bars, tmp_path):
    class Watch:
        def __init__(self):
            self.parts, self.lines, self.ended = [], [], 0

        def message(self, text):
            self.lines.append(text)

        def started(self, plan):
            pass

        def step(self, step, progress, seconds_left):
            self.parts.append(progress)

        def evaluated(self, record):
            pass

        def done(self):
            self.ended += 1

    watch = Watch()
    explain(
        bars, given={"samples": 3, "method": ("saliency", "filters", "occlusion")}, out=tmp_path / "why", events=watch
    )
    assert watch.parts == sorted(watch.parts) and len(watch.parts) == 6 and watch.ended == 1
    assert watch.lines == ["occlusion: 3 samples", "saliency: 3 samples", "filters: the network"]


def test_a_run_whose_data_were_in_memory_asks_for_samples(folder, tmp_path):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 80, (60, 8, 8, 1), dtype=np.uint8)
    pixels[::2, 4:6] += 120
    table = pa.table(
        {
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels),
            "label": ["bar", "plain"] * 30,
            "source": [f"image {i}" for i in range(60)],
            "key": [content_key(image.tobytes()) for image in pixels],
        }
    )
    data = Dataset("bars", "made up", {"all": table})
    run = train("image-classification", data, {"model": "lenet", "epochs": 1}, out=tmp_path / "run")
    with pytest.raises(RunError, match="in memory, not in a file; name samples to explain"):
        run.explain()
    result = run.explain(data, method="saliency", samples=2)
    assert len(result.samples) == 2 and result.folder == run.folder / "explanation"
