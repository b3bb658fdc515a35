"""How to train: what the user may say, each default once. A model's RECIPE may set others for itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deepen.core.units import seconds


@dataclass(frozen=True)
class OptimizerOptions:
    """The optimizer and its numbers."""

    kind: Literal["sgd", "adam", "adamw"] = field(default="adamw", metadata={"help": "the method"})
    learning_rate: float = field(
        default=1e-3,
        metadata={"help": "the peak learning rate, which the schedule scales", "alias": "lr", "least": 0.0},
    )
    momentum: float = field(default=0.9, metadata={"help": "momentum of sgd", "least": 0.0, "most": 1.0})
    nesterov: bool = field(default=True, metadata={"help": "Nesterov's momentum for sgd"})
    weight_decay: float = field(
        default=1e-2,
        metadata={"help": "decay of weights; one-dimensional parameters (biases, norms) never decay", "least": 0.0},
    )
    beta1: float = field(default=0.9, metadata={"help": "decay of Adam's first moment", "least": 0.0, "most": 1.0})
    beta2: float = field(default=0.999, metadata={"help": "decay of Adam's second moment", "least": 0.0, "most": 1.0})
    epsilon: float = field(default=1e-8, metadata={"help": "added to Adam's denominator", "least": 0.0})


@dataclass(frozen=True)
class ScheduleOptions:
    """How the learning rate moves from the start (0) to the end (1) of training."""

    kind: Literal["constant", "cosine", "one-cycle"] = field(default="cosine", metadata={"help": "the shape"})
    warm_up: float = field(
        default=0.05,
        metadata={"help": "fraction of training over which the rate rises linearly", "least": 0.0, "most": 0.99},
    )
    final: float = field(
        default=0.0, metadata={"help": "rate at the end, as a fraction of the peak", "least": 0.0, "most": 1.0}
    )


@dataclass(frozen=True)
class FitOptions:
    """Training: for how long, in what steps, on what."""

    epochs: int | None = field(default=None, metadata={"help": "passes over the training data", "least": 1})
    steps: int | None = field(default=None, metadata={"help": "updates, instead of epochs", "least": 1})
    samples: int | None = field(default=None, metadata={"help": "samples seen, instead of epochs", "least": 1})
    time: str | None = field(
        default=None,
        metadata={"help": "a time budget such as 90s, 10m or 1h30m, instead of epochs; the schedule is fitted to it"},
    )
    batch_size: int = field(default=128, metadata={"help": "samples per update, over all devices", "least": 1})
    accumulate: int = field(
        default=1, metadata={"help": "micro-batches into which a batch is cut to save memory", "least": 1}
    )
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    clip_norm: float | None = field(
        default=None, metadata={"help": "the largest norm of the whole gradient", "least": 0.0}
    )
    ema: float = field(
        default=0.0,
        metadata={
            "help": "decay of the moving average of weights that is evaluated; 0: off",
            "least": 0.0,
            "most": 0.99999,
        },
    )
    patience: int = field(
        default=0, metadata={"help": "stop after this many evaluations without a better one; 0: never", "least": 0}
    )
    checkpoint_every: str = field(default="30s", metadata={"help": "time between checkpoints"})
    precision: Literal["fp32", "bf16", "fp16"] = field(
        default="fp32", metadata={"help": "arithmetic; bf16 and fp16 pay on GPUs, and are slower on most CPUs"}
    )
    compile: bool = field(default=False, metadata={"help": "torch.compile: faster steps after a slow start"})
    device: str = field(default="auto", metadata={"help": "auto (a GPU if there is one), cpu, cuda or cuda:1"})
    devices: int = field(
        default=1, metadata={"help": "processes on this machine, one per GPU, or sharing the CPU", "least": 1}
    )
    threads: int | None = field(default=None, metadata={"help": "CPU threads; default: all cores", "least": 1})
    seed: int = field(default=0, metadata={"help": "of initialization, order, splits and augmentation", "least": 0})

    def __post_init__(self) -> None:
        """Raises OptionError for what is no duration, before any data is read."""
        seconds(self.checkpoint_every, name="--checkpoint-every")
        if self.time is not None:
            seconds(self.time, name="--time")
