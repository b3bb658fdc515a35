import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from deepen.core.errors import OptionError
from deepen.core.figures import Gallery, Points, Rows
from deepen.prepare.encoded import Draws
from deepen.tasks.representation_learning import TINY, Options, Task, learn, schema, strip
from deepen.verbs.check import check
from deepen.verbs.evaluate import evaluate
from deepen.verbs.loaded import loaded
from deepen.verbs.predict import predict
from deepen.verbs.train import train


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """A short training on the digits by model and options, done once."""
    made = {}

    def run(model, **options):
        name = f"{model}-{json.dumps(options, sort_keys=True)}"
        if name not in made:
            folder = tmp_path_factory.mktemp("runs") / "run"
            given = {"model": model, "epochs": 2, "threads": 1, **options}
            made[name] = train("representation-learning", "digits", given, out=folder)
        return made[name]

    return run


def tiny_task(**options):
    table = TINY.make(0).tables["all"]
    chosen = Options(**options)
    task = Task(chosen, learn(chosen, table, TINY.make(0), []))
    return task, task.encode(table, "train", [])


def test_principal_components_of_the_digits_are_sklearns(run_of):
    """The variance explained of the test digits by 8 components of the training digits, as sklearn 1.9 has it."""
    run = run_of("principal-components", code_size=8)
    model = loaded(run.folder)
    answers = list(predict(run.folder, "digits"))
    assert len(answers) == 1797 and all(len(each.features) == 8 for each in answers)
    components = model.model.components.detach().double()
    assert torch.allclose(components @ components.T, torch.eye(8).double(), atol=1e-5)
    rounded = np.rint(load_digits().data * (255 / 16)) / 255
    mean = model.model.mean.detach().double().numpy()
    codes = (rounded - mean) @ components.numpy().T
    assert np.allclose(np.array([each.features for each in answers]), codes, atol=1e-4)
    expected = PCA(8).fit(rounded).explained_variance_ratio_.sum()
    assert run.metrics["variance_explained"] == pytest.approx(expected, abs=0.02)


def test_a_learning_rate_of_zero_leaves_the_components_as_they_were_found(run_of):
    run = run_of("principal-components", code_size=8)
    losses = {record["train_loss"] for record in run.history}
    assert run.header["options"]["optimizer.learning_rate"] == 0 and len(losses) <= 2
    errors = {record["val_mean_squared_error"] for record in run.history}
    assert len(errors) == 1


def test_the_report_holds_what_a_reader_wants_to_see(run_of):
    run = run_of("variational-autoencoder", code_size=3, **{"network.hidden": (17,)})
    page = (run.folder / "report.html").read_text("utf-8")
    for words in ("Reconstructions", "Map of the features: t-SNE", "Samples from the prior", "Interpolations", "mark"):
        assert words in page
    assert set(run.metrics) >= {"elbo", "divergence", "variance_explained", "probe_accuracy", "neighbour_accuracy"}
    assert evaluate(run.folder).metrics == run.metrics


def test_figures_group_the_maps_by_label():
    task, encoded = tiny_task(code_size=3)
    torch.manual_seed(0)
    model, metrics = task.build().eval(), task.metrics()
    with torch.inference_mode():
        task.score(model, task.batch(encoded, np.arange(53), None), metrics)
    found = task.figures(metrics, encoded)
    maps = [figure for figure in found if isinstance(figure, Points)]
    assert len(maps) == 2 and all(set(figure.groups) == {"left", "right"} for figure in maps)
    assert all(len(figure.points) == len(figure.groups) == 53 for figure in maps)
    galleries = {figure.title: len(figure.samples) for figure in found if isinstance(figure, Gallery)}
    assert galleries == {"Reconstructions": 12, "Largest errors": 6, "Interpolations": 6}
    assert isinstance(found[0], Rows)


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt-and-pepper"])
def test_noise_is_drawn_by_row_and_epoch_and_the_target_stays_clean(noise):
    task, encoded = tiny_task(noise=noise, noise_level=0.3)
    rows = np.array([7, 2, 11])
    batch = task.batch(encoded, rows, Draws(0, 1))
    again = task.batch(encoded, rows[::-1].copy(), Draws(0, 1))
    assert torch.equal(batch["noisy"], again["noisy"].flip(0))
    assert not torch.equal(batch["noisy"], task.batch(encoded, rows, Draws(0, 2))["noisy"])
    assert torch.equal(batch["pixels"], task.batch(encoded, rows, None)["pixels"])
    repeated = [task.batch(encoded, rows, None)["noisy"] for _ in range(2)]
    assert torch.equal(*repeated) and not torch.equal(repeated[0], batch["noisy"])
    assert task.objective == ("denoising_error", "min")


def test_denoising_learns_to_remove_noise(tmp_path):
    """Trained with noise, the network is nearer to the clean pictures than the noisy ones are."""
    run = train("representation-learning", "tiny", {"noise_level": 0.2, "threads": 1}, out=tmp_path / "run")
    assert run.metrics["denoising_error"] < 0.2**2 / 2


def test_a_flat_folder_without_labels_is_enough(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(31):
        pixels = draw.integers(0, 255, (11, 13, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    assert check("representation-learning", tmp_path / "photos").passed
    given = {"model": "convolutional-autoencoder", "code_size": 3, "epochs": 1, "threads": 1}
    run = train("representation-learning", tmp_path / "photos", given, out=tmp_path / "run")
    assert "probe_accuracy" not in run.metrics and run.metrics["mean_squared_error"] > 0
    (answer,) = predict(run.folder, tmp_path / "photos" / "7.png")
    assert len(answer.features) == 3
    assert json.loads(json.dumps(dataclasses.asdict(answer)))["source"].endswith("7.png")


def test_labels_train_nothing():
    assert not schema(Options()).needs_target and schema(Options()).target == ""
    table = TINY.make(0).tables["all"]
    task = Task(Options(), learn(Options(), table.drop_columns(["label"]), TINY.make(0), []))
    encoded = task.encode(table.drop_columns(["label"]), "train", [])
    assert task.labels == [] and set(encoded.tensors["label"].tolist()) == {-1}


def test_a_share_of_pixels_above_one_is_refused():
    with pytest.raises(OptionError, match=r"--noise-level 1.5: with --noise masking it is a share"):
        Options(noise="masking", noise_level=1.5)
    assert Options(noise="gaussian", noise_level=1.5).noise_level == 1.5


def test_pictures_stand_side_by_side_with_a_line_between():
    black, grey = torch.zeros(1, 2, 3), torch.full((1, 2, 3), 0.5)
    found = np.array(Image.open(io.BytesIO(strip([black, grey, grey, black], columns=2))))
    assert found.shape == (5, 7)
    assert found[0].tolist() == [0, 0, 0, 255, 128, 128, 128] and found[2].tolist() == [255] * 7
    assert found[3].tolist() == [128, 128, 128, 255, 0, 0, 0]
