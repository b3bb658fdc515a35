"""How to train: what the user may say, each default once. A model's RECIPE may set others for itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deepen.core.errors import OptionError
from deepen.core.units import seconds

LOADED = "loaded"  # what --freeze calls all that came from a file of weights
WEIGHTING = ("reweight", "reweight_by", "reweight_run")  # what a task calls unread where samples can have no weight
PRETRAINING_OF = {  # which kinds of pretraining read an option; all others read it whatever the kind
    "pretrain_corruption": ("denoising",),
    "pretrain_tied": ("autoencoder", "denoising"),
    "pretrain_gibbs_steps": ("rbm",),
    "pretrain_persistent": ("rbm",),
}


@dataclass(frozen=True)
class OptimizerOptions:
    """The optimizer and its numbers. None stands for the method's own default (`engine/optim_kinds.py`)."""

    kind: Literal[
        "sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "yogi", "lars", "gradient-descent", "newton"
    ] = field(
        default="adamw", metadata={"help": "the method; gradient-descent and newton take all data in each update"}
    )
    learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "the peak learning rate, which the schedule scales; of newton the first length that is tried; "
            "default: by method",
            "alias": "lr",
            "least": 0.0,
            "search": "0.1..10:times",
        },
    )
    momentum: float | None = field(
        default=None,
        metadata={"help": "momentum; default: 0.9 for sgd and lars, 0 for rmsprop", "least": 0.0, "most": 1.0},
    )
    nesterov: bool | None = field(
        default=None,
        metadata={"help": "Nesterov's momentum for sgd; default: on where there is momentum"},
    )
    weight_decay: float | None = field(
        default=None,
        metadata={
            "help": "decay of weights; one-dimensional parameters (biases, norms) never decay; default: 0.01 for "
            "adamw, 0.0005 for sgd, 0.0001 for lars, 0 for the others",
            "least": 0.0,
            "search": "0.1..10:times",
        },
    )
    beta1: float | None = field(
        default=None,
        metadata={
            "help": "decay of the mean of gradients (adam, adamw, yogi); default: 0.9",
            "least": 0.0,
            "below": 1.0,
        },
    )
    beta2: float | None = field(
        default=None,
        metadata={
            "help": "decay of the mean of squared gradients (adam, adamw, yogi); default: 0.999",
            "least": 0.0,
            "below": 1.0,
        },
    )
    rho: float | None = field(
        default=None,
        metadata={
            "help": "decay of the mean of squared gradients (rmsprop, adadelta); default: 0.9",
            "least": 0.0,
            "below": 1.0,
        },
    )
    centered: bool | None = field(
        default=None,
        metadata={"help": "divide by the deviation of gradients, not their root mean square (rmsprop); default: off"},
    )
    epsilon: float | None = field(
        default=None,
        metadata={
            "help": "added to the denominator of adaptive methods; default: 1e-8, 1e-10 for adagrad, 1e-6 for "
            "adadelta, 1e-3 for yogi",
            "least": 0.0,
        },
    )
    trust: float | None = field(
        default=None,
        metadata={"help": "length of a layer's step as a part of its weights' (lars); default: 0.001", "above": 0.0},
    )
    damping: float | None = field(
        default=None, metadata={"help": "added to the curvature in every direction (newton); default: 0", "least": 0.0}
    )
    iterations: int | None = field(
        default=None,
        metadata={"help": "most products with the Hessian in an update (newton); default: 100", "least": 1},
    )


@dataclass(frozen=True)
class ScheduleOptions:
    """How the learning rate moves from the start (0) to the end (1) of training; lengths are parts of training."""

    kind: Literal[
        "constant",
        "step",
        "multi-step",
        "factor",
        "inverse-root",
        "polynomial",
        "cosine",
        "one-cycle",
        "cyclic",
        "plateau",
    ] = field(default="cosine", metadata={"help": "the shape"})
    warm_up: float = field(
        default=0.05,
        metadata={
            "help": "part of training over which the rate rises to its peak",
            "least": 0.0,
            "search": "0..0.3",
            "most": 0.99,
        },
    )
    warm_up_shape: Literal["linear", "constant"] = field(
        default="linear", metadata={"help": "whether it rises evenly, or stays low and then jumps"}
    )
    warm_up_factor: float = field(
        default=0.1,
        metadata={"help": "the rate of a constant warm-up, as a part of the peak", "above": 0.0, "most": 1.0},
    )
    final: float = field(
        default=0.0,
        metadata={
            "help": "part of the peak at the end (polynomial, cosine, one-cycle, cyclic), or below which the rate does "
            "not fall (step, multi-step, factor, inverse-root, plateau)",
            "least": 0.0,
            "most": 1.0,
        },
    )
    factor: float = field(
        default=0.1,
        metadata={
            "help": "what the rate is multiplied by at each step (step, multi-step, plateau), or over --schedule.size "
            "(factor)",
            "above": 0.0,
            "most": 1.0,
        },
    )
    size: float = field(
        default=0.3, metadata={"help": "part of training from step to step (step, factor)", "above": 0.0, "most": 1.0}
    )
    milestones: tuple[float, ...] = field(
        default=(0.5, 0.75),
        metadata={"help": "parts of training after which the rate falls (multi-step)", "above": 0.0, "below": 1.0},
    )
    timescale: float | None = field(
        default=None,
        metadata={
            "help": "part of training after the warm-up at which the rate is 1/sqrt(2) of the peak (inverse-root); "
            "default: the warm-up's, or 0.01",
            "above": 0.0,
        },
    )
    power: float = field(default=2.0, metadata={"help": "of the descent (polynomial)", "above": 0.0})
    restarts: int = field(default=0, metadata={"help": "how often the descent begins anew (cosine)", "least": 0})
    stretch: float = field(
        default=1.0,
        metadata={
            "help": "length of a descent over that of the one before (cosine)",
            "above": 0.0,
            "needs": "restarts",
        },
    )
    cycles: int = field(default=4, metadata={"help": "triangles (cyclic)", "least": 1})
    shrink: float = field(
        default=1.0,
        metadata={"help": "height of a triangle over that of the one before (cyclic)", "above": 0.0, "most": 1.0},
    )
    patience: int = field(
        default=3, metadata={"help": "evaluations without a better one before the rate falls (plateau)", "least": 1}
    )
    threshold: float = field(
        default=1e-4,
        metadata={
            "help": "by what part of itself the figure must get better to count as better (plateau)",
            "least": 0.0,
        },
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
    batch_size: int = field(
        default=128,
        metadata={"help": "samples per update, over all devices", "least": 1, "search": "32..512:powers"},
    )
    accumulate: int = field(
        default=1, metadata={"help": "micro-batches into which a batch is cut to save memory", "least": 1}
    )
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    weights: str | None = field(
        default=None,
        metadata={"help": "start from published weights (.safetensors, .pth) or from another run's folder"},
    )
    freeze: tuple[str, ...] = field(
        default=(),
        metadata={"help": "train these layers no more; loaded: all that --weights filled, but for the last layer"},
    )
    trunk_lr: float | None = field(
        default=None,
        metadata={
            "help": "learning rate of what --weights filled or --pretrain trained, but for the last layer, as a factor "
            "such as 0.1; default: that of the rest",
            "above": 0.0,
        },
    )
    pretrain: Literal["autoencoder", "denoising", "rbm"] | None = field(
        default=None,
        metadata={"help": "train the hidden layers one by one without labels first, each as one of these"},
    )
    pretrain_on: str | None = field(
        default=None, metadata={"help": "more data to pretrain on beside the training samples; labels are not needed"}
    )
    pretrain_inputs: Literal["gaussian", "binary"] | None = field(
        default=None,
        metadata={
            "help": "the lowest layer's inputs: real numbers, or brought to 0..1 and taken as chances, as suits ink "
            "on paper; default: gaussian"
        },
    )
    pretrain_epochs: int | None = field(
        default=None, metadata={"help": "passes over these data for each layer; default: 20", "least": 1}
    )
    pretrain_batch_size: int | None = field(
        default=None, metadata={"help": "samples per update of pretraining; default: 32", "least": 1}
    )
    pretrain_learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "rate of pretraining; default: 0.001 (Adam) for autoencoders; for rbm 0.05, 0.01 of gaussian "
            "inputs, a tenth of these for ReLU units",
            "alias": "pretrain_lr",
            "above": 0.0,
        },
    )
    pretrain_weight_decay: float | None = field(
        default=None,
        metadata={"help": "decay of weights in pretraining; default: 0.0001 for rbm, 0 for the others", "least": 0.0},
    )
    pretrain_corruption: float | None = field(
        default=None,
        metadata={
            "help": "part of the inputs that is hidden from a layer (denoising); default: 0.25",
            "above": 0.0,
            "below": 1.0,
        },
    )
    pretrain_tied: bool | None = field(
        default=None, metadata={"help": "whether the decoder is the transposed encoder (autoencoders); default: on"}
    )
    pretrain_gibbs_steps: int | None = field(
        default=None, metadata={"help": "turns of drawing both sides in an update, CD-k (rbm); default: 1", "least": 1}
    )
    pretrain_persistent: bool | None = field(
        default=None, metadata={"help": "chains that go on from update to update (rbm); default: off"}
    )
    clip_norm: float | None = field(
        default=None, metadata={"help": "the largest norm of the whole gradient", "above": 0.0}
    )
    l1: float = field(
        default=0.0, metadata={"help": "L1 penalty: this times the sum of |w| over weights", "least": 0.0}
    )
    l2: float = field(
        default=0.0,
        metadata={"help": "L2 penalty in the gradient: half of this times the sum of squared weights", "least": 0.0},
    )
    max_norm: float | None = field(
        default=None, metadata={"help": "largest norm of the weights that come into a unit", "above": 0.0}
    )
    weight_noise: float = field(
        default=0.0,
        metadata={"help": "deviation of the noise on weights while a step's gradient is taken", "least": 0.0},
    )
    initialization: Literal[
        "model",
        "xavier-uniform",
        "xavier-normal",
        "he-uniform",
        "he-normal",
        "lecun-uniform",
        "lecun-normal",
        "orthogonal",
        "normal",
        "constant",
    ] = field(
        default="model",
        metadata={
            "help": "how weights of linear, convolutional and recurrent layers begin; model: as the model's file says"
        },
    )
    initialization_value: float | None = field(
        default=None,
        metadata={"help": "the value of constant, the deviation of normal, a factor for the others"},
    )
    clip_value: float | None = field(
        default=None, metadata={"help": "the largest size of each number in the gradient", "above": 0.0}
    )
    ema: float = field(
        default=0.0,
        metadata={
            "help": "decay of the moving average of weights that is evaluated; 0: off",
            "least": 0.0,
            "most": 0.99999,
            "search": "0,0.99,0.999",
        },
    )
    swa: float = field(
        default=0.0,
        metadata={
            "help": "last part of training, such as 0.25, whose mean weights are evaluated and kept; 0: off",
            "least": 0.0,
            "below": 1.0,
        },
    )
    patience: int = field(
        default=0,
        metadata={
            "help": "stop after this many evaluations in a row that are worse than the best, without a validation "
            "split by the training loss; 0: never",
            "least": 0,
        },
    )
    checkpoint_every: str = field(default="30s", metadata={"help": "time between checkpoints"})
    fallback_dir: str | None = field(
        default=None,
        metadata={"help": "where training goes on, in a new run folder, if the first can no longer be written"},
    )
    precision: Literal["fp32", "bf16", "fp16"] = field(
        default="fp32",
        metadata={"help": "arithmetic; bf16 pays on GPUs and on CPUs with AVX-512 BF16 or AMX, fp16 on GPUs"},
    )
    compile: bool = field(default=False, metadata={"help": "torch.compile: faster steps after a slow start"})
    device: str = field(default="auto", metadata={"help": "auto (a GPU if there is one), cpu, cuda or cuda:1"})
    devices: int = field(
        default=1, metadata={"help": "processes on this machine, one per GPU, or sharing the CPU", "least": 1}
    )
    timeout: str = field(
        default="5m", metadata={"help": "of several processes: how long one may stay silent before training ends"}
    )
    threads: int | None = field(default=None, metadata={"help": "CPU threads; default: all cores", "least": 1})
    seed: int = field(default=0, metadata={"help": "of initialization, order, splits and augmentation", "least": 0})

    def __post_init__(self) -> None:
        """Raises OptionError for what is no duration, before any data is read."""
        seconds(self.checkpoint_every, name="--checkpoint-every")
        seconds(self.timeout, name="--timeout")
        if self.time is not None:
            seconds(self.time, name="--time")
        if self.initialization == "model" and self.initialization_value is not None:
            raise OptionError(
                f"--initialization-value {self.initialization_value:g}: expected --initialization beside it, such as "
                "normal or orthogonal, but the model begins as its own file says; name one, or leave the value out."
            )
        _check_pretraining(self)
        rate_scaled = self.trunk_lr is not None and self.pretrain is None
        if self.weights is None and (rate_scaled or LOADED in self.freeze):
            said = f"--trunk-lr {self.trunk_lr:g}" if self.trunk_lr is not None else f"--freeze {LOADED}"
            raise OptionError(f"{said}: expected --weights beside it, but none are loaded; name a file of weights.")


def _check_pretraining(options: FitOptions) -> None:
    """Raises OptionError for a part of pretraining without the whole, or that the chosen kind does not read."""
    for name, value in vars(options).items():
        if not name.startswith("pretrain_") or value is None:
            continue
        flag = f"--{name.replace('_', '-')} {value}"
        if options.pretrain is None:
            raise OptionError(f"{flag}: expected --pretrain beside it, such as --pretrain denoising, or leave it out.")
        kinds = PRETRAINING_OF.get(name, (options.pretrain,))
        if options.pretrain not in kinds:
            raise OptionError(f"{flag}: only --pretrain {' or '.join(kinds)} reads it; leave it out.")
    if options.pretrain is not None and options.weights is not None:
        raise OptionError(
            f"--pretrain {options.pretrain}: expected one start, but --weights {options.weights} is another; leave one "
            "of them out."
        )
