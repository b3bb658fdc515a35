import torch

from deepen.models.recurrent_tagger import PAPER, Options, build
from deepen.nn.shapes import TextShape

SHAPE = TextShape(37, characters=23)


def inputs(seed=0, longest=7):
    draw = torch.Generator().manual_seed(seed)
    mask = torch.arange(longest) < torch.tensor([[7], [3], [0]])
    ids = torch.randint(2, 37, (3, longest), generator=draw).masked_fill(~mask, 0)
    return ids, mask, torch.randint(1, 23, (3, longest, 5), generator=draw).masked_fill(~mask[..., None], 0)


def test_parameters_are_the_derivation():
    for name, paper in PAPER.items():
        net = build(name, TextShape(*paper.inputs), paper.outputs)
        assert sum(p.numel() for p in net.parameters()) == paper.parameters


def test_it_is_the_formula():
    """Against PyTorch's own bidirectional LSTM over the row alone."""
    torch.manual_seed(0)
    net = build("bilstm-crf", SHAPE, 5, Options(width=11, hidden=13, filters=3)).eval()
    ids, mask, characters = inputs()
    with torch.no_grad():
        found = net(ids, mask, characters)
        lstm = torch.nn.LSTM(14, 13, bidirectional=True, batch_first=True)
        for name, value in net.reader.ahead[0].named_parameters():
            getattr(lstm, name).copy_(value)
        for name, value in net.reader.back[0].named_parameters():
            getattr(lstm, f"{name}_reverse").copy_(value)
        for row, length in ((0, 7), (1, 3)):
            x = torch.cat([net.embedding(ids[row]), net.characters(characters[row][None])[0]], 1)[None, :length]
            wanted = lstm(x)[0] @ net.linear.weight.T + net.linear.bias
            assert torch.allclose(found[row, :length], wanted[0], atol=1e-5)


def test_the_names_differ_in_characters_and_in_the_chain():
    full, small = build("bilstm-crf", SHAPE, 5), build("bilstm-tagger", SHAPE, 5)
    assert full.crf.num_tags == 5 and full.characters is not None
    assert small.crf is None and small.characters is None
    both = build("bilstm-tagger", SHAPE, 5, Options(crf=True, filters=7, layers=2))
    assert both.crf is not None and both.characters.width == 7 and both.reader.num_layers == 2
    assert build("bilstm-crf", TextShape(37), 5).characters is None
    assert build("bilstm-crf", SHAPE, 5, Options(crf=False, filters=0)).crf is None


def test_what_stands_behind_the_end_changes_nothing():
    torch.manual_seed(0)
    net = build("bilstm-crf", SHAPE, 5, Options(width=11, hidden=13, filters=3)).eval()
    ids, mask, characters = inputs()
    wide = [torch.cat([part, torch.ones_like(part[:, :4])], 1) for part in (ids, characters)]
    longer = torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], 1)
    with torch.no_grad():
        found, more = net(ids, mask, characters), net(wide[0], longer, wide[1])
    assert torch.allclose(found[mask], more[:, :7][mask], atol=1e-6)


def test_every_parameter_of_the_whole_gets_a_gradient():
    torch.manual_seed(0)
    net = build("bilstm-crf", SHAPE, 5, Options(dropout=0.0))
    ids, mask, characters = inputs()
    net.crf.loss(net(ids, mask, characters), torch.ones_like(ids), mask).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
