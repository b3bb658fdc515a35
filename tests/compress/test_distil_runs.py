"""Distillation as its user meets it, where it is more than outputs and labels: texts, tags, and unlabelled samples."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deepen import evaluate, predict, train
from deepen.bundle import header
from deepen.core.errors import DataError, OptionError, RunError
from deepen.verbs.compress import compress
from deepen.verbs.further_inputs import pictures
from deepen.verbs.loaded import loaded

SMALL = {"epochs": 2, "threads": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind of teacher, trained once."""
    folder = tmp_path_factory.mktemp("runs")
    train("language-modeling", "tiny", model="lstm", out=folder / "lines", **SMALL)
    train("language-modeling", "tiny", model="ngram", out=folder / "counts", threads=1)
    train("token-tagging", "tiny", model="bilstm-crf", out=folder / "tags", epochs=5, threads=1)
    train("image-classification", "tiny", model="lenet", out=folder / "bars", **SMALL)
    return folder


def taught(teacher, out, **given):
    """The result, the student's figures being those that were told."""
    found = compress(teacher, {"method": "distil", **given}, out=out)
    assert evaluate(found.folder).metrics == pytest.approx(found.stages[-1].metrics, rel=1e-4, abs=1e-6)
    return found


def test_a_language_model_teaches_a_smaller_one(runs, tmp_path):
    options = ("width=16", "hidden_size=8")
    result = taught(runs / "lines", tmp_path / "a", student="gru", student_options=options)
    before, after = result.stages
    flat = header.read_header(tmp_path / "a")["options"]
    assert flat["width"] == 16 and flat["network.hidden_size"] == 8 and flat["model"] == "gru"
    assert after.cost["parameters"] < before.cost["parameters"] / 4
    assert after.metrics["perplexity"] < 6  # of about 20 words
    assert any(note.startswith("gru learned from lstm in") for note in result.notes)


@pytest.mark.parametrize(("teacher", "student"), [("counts", "gru"), ("lines", "transformer-decoder")])
def test_teachers_and_students_of_every_kind(runs, tmp_path, teacher, student):
    """A model of counts teaches a network, and one that keeps states one that sees windows of another length."""
    options = ("width=16", "hidden_size=16", "sequence_length=13", "layers=1")
    result = taught(runs / teacher, tmp_path / "a", student=student, student_options=options, epochs=1)
    assert np.isfinite(result.stages[-1].metrics["perplexity"])


def test_a_field_teaches_a_tagger_without(runs, tmp_path):
    (tmp_path / "more.txt").write_text("Ada Park met Boris in Port Kettle .\nwith tea in New North .\n", "utf-8")
    small = ("width=16", "hidden=16", "filters=8", "dropout=0.1")
    given = {"student_options": small, "inputs_from": str(tmp_path / "more.txt"), "epochs": 30, "teacher_weight": 1.0}
    result = taught(runs / "tags", tmp_path / "a", student="textcnn-tagger", **given)
    assert result.stages[-1].metrics["accuracy"] > 0.7  # no tag of the data was read
    assert any(note.startswith("2 unlabelled samples from") for note in result.notes)
    assert predict(str(result.folder), str(tmp_path / "more.txt"))[0].tags


def test_pictures_from_a_folder_and_from_a_generator(runs, tmp_path):
    train("representation-learning", _bars(tmp_path / "seen", 60), model="variational-autoencoder", code_size=2,
          out=tmp_path / "generator", epochs=1, threads=1)  # fmt: skip
    options = {"student": "mlp", "student_options": ("hidden=16",), "epochs": 1}
    for name, place in (("a", _bars(tmp_path / "more", 7)), ("b", tmp_path / "generator")):
        result = taught(runs / "bars", tmp_path / name, **options, inputs_from=str(place))
        said = {"a": "7 unlabelled samples from", "b": "pictures drawn anew from"}[name]
        assert any(said in note for note in result.notes)


def test_drawn_pictures_are_a_function_of_seed_epoch_and_row(tmp_path):
    train("representation-learning", _bars(tmp_path / "seen", 40), model="variational-autoencoder", code_size=2,
          out=tmp_path / "generator", epochs=1, threads=1)  # fmt: skip
    network = loaded(tmp_path / "generator", device="cpu").model
    few, more, later = (pictures(network, n, seed=3, epoch=e).column("image") for n, e in ((5, 0), (9, 0), (5, 1)))
    few, more, later = (each.combine_chunks().to_numpy_ndarray() for each in (few, more, later))
    assert few.shape == (5, 11, 11, 1) and few.dtype == np.uint8
    assert np.array_equal(few, more[:5]) and not np.array_equal(few, later)


def test_samples_that_judge_are_not_learned_from(tmp_path):
    rows = [f"{x / 7:.3f},{(x * 37) % 11},{'big' if x > 80 else 'small'}" for x in range(160)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["a,b,kind", *rows]) + "\n", "utf-8")
    train("tabular-classification", table, target="kind", model="mlp", out=tmp_path / "run", **SMALL)
    given = {"student": "softmax-regression", "epochs": 1, "inputs_from": str(table)}
    result = taught(tmp_path / "run", tmp_path / "a", **given)
    (found,) = [note for note in result.notes if "unlabelled samples" in note]
    (left,) = [note for note in result.notes if "left out" in note]
    assert int(found.split()[0]) + int(left.split()[0]) == 160 and int(left.split()[0]) >= 16


@pytest.mark.parametrize(
    ("run", "given", "error", "words"),
    [
        ("lines", {"student": "gru", "inputs_from": "tiny"}, OptionError, "have no labels that a teacher could give"),
        ("lines", {"student": "ngram"}, OptionError, "nobody can teach it"),
        ("lines", {"student": "gru", "unlabelled": "munge"}, OptionError, "no numbers that could be moved"),
        ("bars", {"student": "mlp", "inputs_from": "x", "unlabelled": "gaussian"}, OptionError, "choose one of"),
        ("bars", {"student": "mlp", "inputs_from": "nowhere"}, DataError, "nowhere: no such file or folder"),
        ("bars", {"student": "mlp", "inputs_from": "{runs}/lines"}, RunError, "its lstm cannot draw new samples"),
        ("tags", {"student": "textcnn-tagger", "inputs_from": "{runs}/lines"}, OptionError, "reads none; name a file"),
    ],
)
def test_what_does_not_fit_is_said(runs, tmp_path, run, given, error, words):
    given = {name: value.replace("{runs}", str(runs)) for name, value in given.items()}
    with pytest.raises(error, match=words):
        compress(runs / run, {"method": "distil", "epochs": 1, **given}, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_generator_of_another_shape_is_refused(runs, tmp_path):
    train("representation-learning", "tiny", model="variational-autoencoder", out=tmp_path / "small", **SMALL)
    with pytest.raises(RunError, match=r"draws pictures of 1x7x7 .* reads 1x11x11"):
        compress(runs / "bars", {"method": "distil", "student": "mlp", "inputs_from": str(tmp_path / "small")},
                 out=tmp_path / "new")  # fmt: skip


def _bars(folder, count):
    """Pictures of 11x11 with a bright line across, as files."""
    folder.mkdir()
    draw = np.random.default_rng(count)
    for index in range(count):
        pixels = draw.integers(0, 90, (11, 11)).astype(np.uint8)
        pixels[draw.integers(1, 10)] = 230
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder
