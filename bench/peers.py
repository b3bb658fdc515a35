"""Training by Keras 3 on its torch backend and by Lightning, from arrays in memory, nothing shown or saved."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.fashion import Problem
from bench.loops import WARM_UP_STEPS, Clock
from bench.rounds import Contender


def available(problem: Problem, steps: int) -> tuple[list[Contender], list[str]]:
    """The peers that are installed, and the names of those that are not."""
    makers = {"keras": keras_peer, "lightning": lightning_peer}
    found = {name: importlib.util.find_spec(name) is not None for name in makers}
    contenders = [make(problem, steps) for name, make in makers.items() if found[name]]
    return contenders, [name for name, is_found in found.items() if not is_found]


def keras_peer(problem: Problem, steps: int) -> Contender:
    """`model.fit` on arrays. LeNet stands in Keras' own layers; any other network is the very same module, wrapped."""
    os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported
    import keras

    assert keras.backend.backend() == "torch", "Keras was imported before with another backend"
    keras.config.set_image_data_format("channels_first")
    batch_size = problem.options.batch_size
    images, labels = problem.floats.numpy(), problem.labels.numpy()

    class Watch(keras.callbacks.Callback):
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.clock, self.count = clock, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.count += 1
            if self.clock.done(self.count):
                self.model.stop_training = True

    def run() -> float:
        clock = Clock(steps)
        model = _keras_model(keras, problem)
        model.compile(_keras_optimizer(keras, problem), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        epochs = -(-(WARM_UP_STEPS + steps) // problem.steps_per_epoch)
        used = min(len(labels), (WARM_UP_STEPS + steps) * batch_size)
        model.fit(
            images[:used],
            labels[:used],
            batch_size=batch_size,
            epochs=epochs,
            shuffle=True,
            verbose=0,
            callbacks=[Watch(clock)],
        )
        return clock.seconds()

    return Contender(f"Keras {keras.__version__} on torch", run)


def lightning_peer(problem: Problem, steps: int) -> Contender:
    """`Trainer.fit` over a TensorDataset, on the CPU, without logger, checkpoints, progress bar or summary."""
    import lightning
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = problem.network()

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            return F.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return problem.optimizer(self.network)

    class Watch(lightning.Callback):
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            self.clock.done(trainer.global_step)

    def run() -> float:
        clock = Clock(steps)
        loader = DataLoader(
            TensorDataset(problem.floats, problem.labels), batch_size=problem.options.batch_size, shuffle=True
        )
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=WARM_UP_STEPS + steps,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Watch(clock)],
        )
        trainer.fit(Module(), loader)
        return clock.seconds()

    return Contender(f"Lightning {lightning.__version__}", run)


def _keras_model(keras: Any, problem: Problem) -> Any:
    inputs = keras.Input((1, 28, 28))
    if problem.name != "lenet":
        return keras.Model(inputs, keras.layers.TorchModuleWrapper(problem.network(), output_shape=(10,))(inputs))
    layers = keras.layers
    model = keras.Sequential(
        [
            inputs,
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    assert model.count_params() == _num_parameters(problem.network()), "Keras' LeNet is another network"
    return model


def _keras_optimizer(keras: Any, problem: Problem) -> Any:
    said = problem.options.optimizer
    if said.kind == "sgd":
        return keras.optimizers.SGD(
            said.learning_rate, momentum=said.momentum, nesterov=said.nesterov, weight_decay=said.weight_decay
        )
    return keras.optimizers.AdamW(said.learning_rate, weight_decay=said.weight_decay)


def _num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
