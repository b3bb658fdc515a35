"""Small language models of every kind, with weights that make their answers differ."""

from __future__ import annotations

import torch

from deepen.models import neural_ngram, recurrent_language_model, transformer_language_model
from deepen.nn.language_network import with_output_layer
from deepen.nn.output_layers import OutputOptions
from deepen.nn.shapes import TextShape
from deepen.nn.shortlist_tail import rare_pairs

V, D, WINDOW = 29, 11, 13
TEXT = torch.cat([torch.arange(V), torch.randint(V, (500,), generator=torch.Generator().manual_seed(1)) ** 2 // V])
COUNTS = torch.bincount(TEXT, minlength=V).tolist()
KINDS = ("full", "adaptive", "class", "huffman", "sampled", "importance", "nce", "ranking", "shortlist")
OPTIONS = {"adaptive": {"cutoffs": (5, 17)}, "shortlist": {"shortlist": 7}}
NETWORKS = {
    "lstm": (recurrent_language_model, recurrent_language_model.Options(hidden_size=7, layers=2)),
    "gru": (recurrent_language_model, recurrent_language_model.Options(hidden_size=D)),
    "rnn": (recurrent_language_model, recurrent_language_model.Options(hidden_size=7)),
    "neural-ngram": (neural_ngram, neural_ngram.Options(order=5)),
    "transformer-decoder": (
        transformer_language_model,
        transformer_language_model.Options(hidden_size=12, heads=3, layers=2),
    ),
}


def network(name: str, kind: str = "full", *, features: int = 0, pairs: bool = False):
    torch.manual_seed(3)
    module, options = NETWORKS[name]
    inner = module.build(name, TextShape(V, longest=WINDOW), D, options)
    output = OutputOptions(kind=kind, **OPTIONS.get(kind, {}))  # type: ignore[arg-type]
    counted = rare_pairs(TEXT.numpy(), COUNTS, output.shortlist) if pairs else None
    built = with_output_layer(inner, D, COUNTS, output, feature_order=features, feature_table=997, pairs=counted)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) / 3)
    return built.eval()


def ids(rows: int, places: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, (rows, places), generator=torch.Generator().manual_seed(seed))
