"""Variational autoencoder: a decoder as a model of how images come about, and an encoder that bounds its likelihood.

    q(z|x) = Normal(mu(x), sigma(x)^2),    z = mu + sigma e,  e ~ Normal(0, I),    p(z) = Normal(0, I)
    loss = -E log p(x|z) + beta KL(q(z|x) || p(z)),    features mu(x)

p(x|z) is Bernoulli for each pixel, or normal with one deviation for all pixels, which is learned. With beta 1 the loss
is the negative evidence lower bound (ELBO); a larger one presses the code towards independent features at the price of
sharpness (Higgins et al., beta-VAE, 2017).

`variational-autoencoder` has one dense hidden layer of 500 on each side, as for MNIST in Kingma and Welling
(Auto-Encoding Variational Bayes, 2014, section 5; there tanh, here ReLU); `convolutional-variational-autoencoder`
halves the image by convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.errors import OptionError
from deepen.nn.coded import Coded
from deepen.nn.coders import ConvolutionalDecoder, ConvolutionalEncoder, DenseDecoder, DenseEncoder
from deepen.nn.dropout import row_uniform
from deepen.nn.shapes import ImageShape, Paper
from deepen.ops.variational import (
    bernoulli_log_likelihood,
    divergence_from_normal,
    gaussian_log_likelihood,
    normal_from_uniform,
)

CONTRACTS = ("image autoencoder",)
OBJECTIVE = ("elbo", "max")
BOUND_DRAWS = 16  # of z, to evaluate the bound with; half of them mirror the others
FIRST_DEVIATION = 0.25  # of the pixels, before it is learned


@dataclass(frozen=True)
class Size:
    """Whether images are halved by convolutions; widths of the hidden layers if not."""

    is_convolutional: bool = False
    hidden: tuple[int, ...] = ()


SIZES = {
    "variational-autoencoder": Size(hidden=(500,)),
    "convolutional-variational-autoencoder": Size(is_convolutional=True),
}

# dense: 784*500 + 500, twice 500*20 + 20; back 20*500 + 500, 500*784 + 784
# convolutional, maps of 16, 32, 64 and 128: 9*(16 + 16*32 + 32*64 + 64*128) + 240, twice 2048*20 + 20; back
#   20*2048 + 2048, 9*(128*64 + 64*32 + 32*16 + 16) + 64 + 32 + 16 + 1. Multiply-adds: the 9 I O of each times its
#   places, there 784, 196, 49 and 16, back 49, 196, 784 and 784, and 40960 three times.
PAPER = {
    "variational-autoencoder": Paper(inputs=(1, 28, 28), outputs=20, parameters=815_824, multiply_adds=814_000),
    "convolutional-variational-autoencoder": Paper(
        inputs=(1, 28, 28), outputs=20, parameters=319_145, multiply_adds=14_172_672
    ),
}

RECIPE = {
    "epochs": 50,
    "batch_size": 128,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
}


@dataclass(frozen=True)
class Options:
    """Options of the variational autoencoder."""

    beta: float = field(default=1.0, metadata={"help": "weight of the divergence in the loss", "least": 0.0})
    likelihood: Literal["bernoulli", "gaussian"] = field(
        default="bernoulli", metadata={"help": "the distribution of a pixel; gaussian learns one deviation for all"}
    )
    hidden: tuple[int, ...] = field(
        default=(), metadata={"help": "widths of the encoder's hidden layers; none named means 500"}
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The network for these images with a code of `outputs` numbers. Raises OptionError for a hidden width below 1, and
    for hidden widths of the convolutional one, which has none."""
    size = SIZES[name]
    if options.hidden and size.is_convolutional:
        raise OptionError(
            f"--network.hidden {options.hidden}: {name} has no hidden layers to choose; expected none, or --model "
            "variational-autoencoder."
        )
    hidden = options.hidden or size.hidden
    if min(hidden, default=1) < 1:
        raise OptionError(f"--network.hidden: expected widths of at least 1, but is {hidden!r}; name one per layer.")
    if size.is_convolutional:
        encoder, decoder = ConvolutionalEncoder(inputs), ConvolutionalDecoder(inputs, outputs)
        return VariationalAutoencoder(encoder, decoder, outputs, options)
    return VariationalAutoencoder(DenseEncoder(inputs, hidden), DenseDecoder(inputs, hidden, outputs), outputs, options)


class VariationalAutoencoder(nn.Module):
    """images [B, C, H, W] in 0 to 1 -> Coded; the code is the mean of q(z|x), and in training a draw is decoded"""

    def __init__(
        self,
        encoder: DenseEncoder | ConvolutionalEncoder,
        decoder: DenseDecoder | ConvolutionalDecoder,
        code_size: int,
        options: Options,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.options, self.code_size = encoder, decoder, options, code_size
        self.mean = nn.Linear(encoder.width, code_size)
        self.log_variance = nn.Linear(encoder.width, code_size)
        for layer in (self.mean, self.log_variance):
            nn.init.normal_(layer.weight, std=encoder.width**-0.5 / 4)  # q starts near p, where the divergence is small
            nn.init.zeros_(layer.bias)
        if options.likelihood == "gaussian":
            self.log_deviation = nn.Parameter(torch.tensor(FIRST_DEVIATION).log())

    def encode(self, images: Tensor) -> Tensor:
        """The means of q(z|x), [B, D]."""
        return self.mean(self.encoder(images))

    def decode(self, codes: Tensor) -> Tensor:
        """The mean of p(x|z), [B, C, H, W], for codes [B, D]."""
        outputs = self.decoder(codes)
        return torch.sigmoid(outputs) if self.options.likelihood == "bernoulli" else outputs

    def forward(self, images: Tensor, targets: Tensor | None = None) -> Coded:
        targets = images if targets is None else targets
        mean, log_variance = self._posterior(images)
        codes = mean
        if self.training:
            draws = normal_from_uniform(row_uniform(mean.shape[0], mean.shape[1], mean.device))
            codes = mean + torch.exp(0.5 * log_variance) * draws
        outputs = self.decoder(codes)
        loss = self.options.beta * divergence_from_normal(mean, log_variance) - self._log_likelihood(outputs, targets)
        decoded = torch.sigmoid(outputs) if self.options.likelihood == "bernoulli" else outputs
        return Coded(decoded, mean, loss)

    def bound(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The evidence lower bound of each image and the divergence in it, [B] in nats, whatever beta is.

        The expectation over z is a mean over 16 draws, the same for every image, so that the figure repeats.
        """
        mean, log_variance = self._posterior(images)
        likelihood = torch.zeros_like(mean[:, 0])
        for draw in torch.from_numpy(self.bound_draws()).to(mean):
            outputs = self.decoder(mean + torch.exp(0.5 * log_variance) * draw)
            likelihood = likelihood + self._log_likelihood(outputs, images) / BOUND_DRAWS
        divergence = divergence_from_normal(mean, log_variance)
        return likelihood - divergence, divergence

    def bound_draws(self) -> np.ndarray:
        """The draws [16, D] of the bound, from a normal distribution."""
        half = rng.generator(0, "draws of the bound").standard_normal((BOUND_DRAWS // 2, self.code_size))
        return np.concatenate([half, -half])

    def at(self, images: Tensor, draws: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is decoded at z = mu + sigma * draws, mu, the log-likelihood of the targets there, and the divergence.

        images   [B, C, H, W], what is encoded; `targets` the same shape
        draws    [B, D]
        returns  [B, C, H, W], [B, D], [B] and [B]
        """
        mean, log_variance = self._posterior(images)
        outputs = self.decoder(mean + torch.exp(0.5 * log_variance) * draws)
        decoded = torch.sigmoid(outputs) if self.options.likelihood == "bernoulli" else outputs
        return decoded, mean, self._log_likelihood(outputs, targets), divergence_from_normal(mean, log_variance)

    def _posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2, [B, D] each."""
        hidden = self.encoder(images)
        return self.mean(hidden), self.log_variance(hidden)

    def _log_likelihood(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.options.likelihood == "bernoulli":
            return bernoulli_log_likelihood(outputs, targets)
        return gaussian_log_likelihood(outputs, targets, self.log_deviation)
