from __future__ import annotations

import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.transformer_classifier import Options, build
from deepen.nn.shapes import TextShape
from tests.models.text_networks import VOCABULARY, farthest_from_alone, ids_and_mask, shaken

SHAPE = TextShape(VOCABULARY, longest=11)
SMALL = {"width": 6, "heads": 2, "hidden": 7, "blocks": 2}


def built(shape=SHAPE, **options):
    torch.manual_seed(0)
    return build("transformer-encoder", shape, 3, Options(**(SMALL | options)))


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_a_text_is_answered_for_itself(positions, pooling):
    assert farthest_from_alone(shaken(built(positions=positions, pooling=pooling))) < 1e-5


def test_the_blocks_are_pytorchs_own_encoder_layer():
    network = shaken(built(blocks=1))
    block = network.blocks[0]
    own = torch.nn.TransformerEncoderLayer(6, 2, 7, dropout=0.0, batch_first=True, norm_first=True).eval()
    attention, feed = block.attention, block.feed_forward
    projections = (attention.query, attention.key, attention.value)
    own.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([each.weight for each in projections]),
            "self_attn.in_proj_bias": torch.cat([each.bias for each in projections]),
            "self_attn.out_proj.weight": attention.out.weight,
            "self_attn.out_proj.bias": attention.out.bias,
            "linear1.weight": feed.hidden.weight,
            "linear1.bias": feed.hidden.bias,
            "linear2.weight": feed.out.weight,
            "linear2.bias": feed.out.bias,
            "norm1.weight": block.attention_norm.weight,
            "norm1.bias": block.attention_norm.bias,
            "norm2.weight": block.feed_forward_norm.weight,
            "norm2.bias": block.feed_forward_norm.bias,
        }
    )
    ids, mask = ids_and_mask((7, 3, 5))
    x = own(network.embedding(ids) + network.positions.table[:7], src_key_padding_mask=~mask)
    x = network.norm(x) * mask[:, :, None]
    assert torch.allclose(network(ids, mask), network.linear(x.sum(1) / mask.sum(1)[:, None]), atol=1e-5)


def test_order_counts():
    network = shaken(built())
    ids, mask = ids_and_mask((7,))
    assert not torch.allclose(network(ids, mask), network(ids.flip(1), mask), atol=1e-4)


def test_learned_positions_read_the_first_places_of_a_longer_text_and_waves_read_all():
    ids, mask = ids_and_mask((13,))
    learned, waves = shaken(built()), shaken(built(positions="sinusoidal"))
    assert torch.equal(learned(ids, mask), learned(ids[:, :11], mask[:, :11]))
    assert not torch.allclose(waves(ids, mask), waves(ids[:, :11], mask[:, :11]), atol=1e-4)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(OptionError, match="heads must divide the width 6, but is 5"):
        built(heads=5)


@pytest.mark.parametrize("gate", ["soft", "top1", "top2"])
def test_a_text_is_answered_for_itself_by_experts_too(gate):
    assert farthest_from_alone(shaken(built(experts=3, gate=gate))) < 1e-5


def test_experts_that_are_alike_are_the_plain_network():
    plain, mixture = shaken(built()), built(experts=3, gate="top2").eval()
    state = mixture.state_dict()
    for name, tensor in plain.state_dict().items():
        if ".feed_forward." not in name:
            state[name] = tensor
            continue
        block, part = name.split(".feed_forward.")
        layer, kind = part.split(".")
        place = {"hidden": 0, "out": 1}[layer]
        one = tensor.T if kind == "weight" else tensor[None]
        state[f"{block}.feed_forward.experts.layers.{place}.{kind}"] = one.expand(3, *one.shape)
    mixture.load_state_dict(state)
    ids, mask = ids_and_mask((7, 3, 5))
    assert torch.allclose(mixture(ids, mask), plain(ids, mask), atol=1e-5)
