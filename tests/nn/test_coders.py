import pytest
import torch

from deepen.nn.coders import ConvolutionalDecoder, ConvolutionalEncoder, DenseDecoder, DenseEncoder, stages
from deepen.nn.shapes import ImageShape

SHAPES = [ImageShape(1, 8, 8), ImageShape(3, 28, 28), ImageShape(2, 17, 41), ImageShape(1, 5, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_decoders_give_back_the_shape_that_encoders_take(shape):
    images = torch.rand(5, shape.channels, shape.height, shape.width)
    for encoder, decoder in (
        (DenseEncoder(shape, (13, 11)), DenseDecoder(shape, (13, 11), 7)),
        (ConvolutionalEncoder(shape), ConvolutionalDecoder(shape, 7)),
    ):
        assert encoder(images).shape == (5, encoder.width)
        assert decoder(torch.randn(5, 7)).shape == images.shape


def test_images_are_halved_while_four_pixels_are_left():
    sides, widths = stages(ImageShape(3, 96, 67))
    assert sides == [(96, 67), (48, 34), (24, 17), (12, 9), (6, 5)]
    assert widths == [16, 32, 64, 128, 128]


def test_without_hidden_layers_a_dense_encoder_only_flattens():
    images = torch.rand(3, 2, 5, 7)
    assert torch.equal(DenseEncoder(ImageShape(2, 5, 7), ())(images), images.flatten(1))
