"""Autoencoder: an encoder to a short code and a decoder back, trained to give back what it is fed.

    h = encode(x),    x' = decode(h),    loss = |x - x'|^2 + s |h|_1 + c |dh/dx|_F^2

The code is linear, as is the last layer of the decoder; between stand ReLU layers. `autoencoder` is the dense network
of Hinton and Salakhutdinov (Reducing the Dimensionality of Data with Neural Networks, 2006), 784-1000-500-250-code and
back for images of 28x28, without their layer-wise pretraining, which ReLU and He's start make unnecessary.
`convolutional-autoencoder` halves the image by convolutions instead (see nn/coders.py; Masci et al. 2011).

Options of the loss: `sparsity` s keeps codes near zero; `contraction` c keeps the code still where the image moves
(Rifai et al., Contractive Auto-Encoders, 2011). Its norm is estimated without bias as |d(v . h)/dx|^2 with each v_d
drawn as 1 or -1 for every row (Hutchinson 1990), at the price of one more backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.coded import Coded
from deepen.nn.coders import ConvolutionalDecoder, ConvolutionalEncoder, DenseDecoder, DenseEncoder
from deepen.nn.dropout import row_uniform
from deepen.nn.init import start_linears
from deepen.nn.shapes import ImageShape, Paper

CONTRACTS = ("image autoencoder",)
OBJECTIVE = ("mean_squared_error", "min")


@dataclass(frozen=True)
class Size:
    """Whether images are halved by convolutions; widths of the hidden layers if not."""

    is_convolutional: bool = False
    hidden: tuple[int, ...] = ()


SIZES = {
    "autoencoder": Size(hidden=(1000, 500, 250)),
    "convolutional-autoencoder": Size(is_convolutional=True),
}

# autoencoder, weights 784*1000 + 1000*500 + 500*250 + 250*30, twice, which are its multiply-adds; and biases
#   1000 + 500 + 250 + 30 on the way there, 250 + 500 + 1000 + 784 back.
# convolutional: maps 16, 32, 64, 128 at 28, 14, 7 and 4 pixels: 9*(16 + 16*32 + 32*64 + 64*128) + 240, linear
#   2048*30 + 30; back 30*2048 + 2048, 9*(128*64 + 64*32 + 32*16 + 16) + 64 + 32 + 16 + 1. Multiply-adds: the 9 I O of
#   each times its places, there 784, 196, 49 and 16, back 49, 196, 784 and 784, and 61440 twice.
PAPER = {
    "autoencoder": Paper(inputs=(1, 28, 28), outputs=30, parameters=2_837_314, multiply_adds=2_833_000),
    "convolutional-autoencoder": Paper(inputs=(1, 28, 28), outputs=30, parameters=319_135, multiply_adds=14_172_672),
}

RECIPE = {
    "epochs": 30,
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
    """Options of the autoencoder."""

    hidden: tuple[int, ...] = field(
        default=(), metadata={"help": "widths of the encoder's hidden layers; none named means 1000 500 250"}
    )
    sparsity: float = field(default=0.0, metadata={"help": "weight of the sum of the sizes of the code", "least": 0.0})
    contraction: float = field(
        default=0.0, metadata={"help": "weight of the squared derivatives of the code by the pixels", "least": 0.0}
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The autoencoder for these images with a code of `outputs` numbers. Raises OptionError for a hidden width below 1,
    and for hidden widths of the convolutional one, which has none."""
    size = SIZES[name]
    if options.hidden and size.is_convolutional:
        raise OptionError(
            f"--network.hidden {options.hidden}: {name} has no hidden layers to choose; expected none, or --model "
            "autoencoder."
        )
    hidden = options.hidden or size.hidden
    if min(hidden, default=1) < 1:
        raise OptionError(f"--network.hidden: expected widths of at least 1, but is {hidden!r}; name one per layer.")
    if size.is_convolutional:
        return Autoencoder(ConvolutionalEncoder(inputs), ConvolutionalDecoder(inputs, outputs), outputs, options)
    return Autoencoder(DenseEncoder(inputs, hidden), DenseDecoder(inputs, hidden, outputs), outputs, options)


class Autoencoder(nn.Module):
    """images [B, C, H, W] in 0 to 1 -> Coded"""

    def __init__(
        self,
        encoder: DenseEncoder | ConvolutionalEncoder,
        decoder: DenseDecoder | ConvolutionalDecoder,
        code_size: int,
        options: Options,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.options = encoder, decoder, options
        self.code = nn.Linear(encoder.width, code_size)
        start_linears(self.code)

    def encode(self, images: Tensor) -> Tensor:
        """The codes [B, D]."""
        return self.code(self.encoder(images))

    def decode(self, codes: Tensor) -> Tensor:
        """The images [B, C, H, W] of codes [B, D]."""
        return self.decoder(codes)

    def forward(self, images: Tensor, targets: Tensor | None = None) -> Coded:
        targets = images if targets is None else targets
        contracts = self.options.contraction > 0 and self.training and torch.is_grad_enabled()
        images = images.detach().requires_grad_() if contracts else images
        code = self.encode(images)
        decoded = self.decode(code)
        loss = (decoded - targets).square().flatten(1).sum(dim=1)
        if self.options.sparsity > 0:
            loss = loss + self.options.sparsity * code.abs().sum(dim=1)
        if contracts:
            loss = loss + self.options.contraction * squared_derivatives(images, code)
        return Coded(decoded, code, loss)


def squared_derivatives(images: Tensor, code: Tensor) -> Tensor:
    """An estimate of |dh/dx|_F^2 for each row, [B], right on average over the draws.

    images  [B, ...] that the code was made from, with their gradient asked for
    code    [B, D]
    """
    signs = torch.where(row_uniform(code.shape[0], code.shape[1], code.device) < 0.5, -1.0, 1.0)
    (slopes,) = torch.autograd.grad((code * signs).sum(), images, create_graph=True)
    return slopes.square().flatten(1).sum(dim=1)
