import numpy as np
import pytest

from deepen.core.errors import DataError
from deepen.prepare.arpa_model import ArpaModel

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.25
-0.5\t</s>
-0.7\ta\t-0.125
-0.9\tb

\\2-grams:
-0.25\t<s> a
-0.5\ta b
-0.375\tb </s>

\\end\\
"""


def model_of(tmp_path, text=ARPA, **more):
    path = tmp_path / "model.arpa"
    path.write_text(text, "utf-8")
    return ArpaModel(path, **more)


def test_lines_by_hand(tmp_path):
    model = model_of(tmp_path)
    assert model.words == ["<unk>", "</s>", "a", "b"] and model.order == 2 and model.notes == []
    # <s> a, a b, b </s> | <s> -> b, b -> </s> | <s> -> </s> | <s> a, a -> c, c -> </s>
    assert model.scores(["a b", " b ", "", "a c"]) == pytest.approx(
        [-0.25 - 0.5 - 0.375, -0.25 - 0.9 - 0.375, -0.25 - 0.5, -0.25 - 0.125 - 1.0 - 0.5]
    )
    words = model.word_scores(["a b", "", "a c"])
    assert [each.tolist() for each in words] == [
        pytest.approx([-0.25, -0.5, -0.375]),
        pytest.approx([-0.75]),
        pytest.approx([-0.25, -1.125, -0.5]),
    ]
    assert model.next_log10("b") == pytest.approx([-1.0, -0.375, -0.7, -0.9])
    assert model.next_log10() == pytest.approx([-1.25, -0.75, -0.25, -1.15])
    assert model.scores([]).tolist() == [] and model.word_scores([]) == []


def test_without_unknown_others_are_nearly_impossible(tmp_path):
    model = model_of(tmp_path, ARPA.replace("-1.0\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4"))
    assert model.words[-1] == "<unk>" and "log10 p = -99, since it has no <unk>" in model.notes[0]
    assert model.scores(["c"])[0] == pytest.approx(-0.25 - 99 - 0.5)


def test_without_an_end_no_line_can_be_scored(tmp_path):
    text = ARPA.replace("-0.5\t</s>\n", "").replace("-0.375\tb </s>\n", "").replace("1=5", "1=4").replace("2=3", "2=2")
    with pytest.raises(DataError, match="expected </s> among the 1-grams"):
        model_of(tmp_path, text)


def test_kenlm_says_the_same(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    ours, theirs = model_of(tmp_path), kenlm.Model(str(tmp_path / "model.arpa"))
    draw = np.random.default_rng(0)
    lines = [" ".join(draw.choice(["a", "b", "c", "<unk>"], size=length)) for length in range(19)]
    assert ours.scores(lines) == pytest.approx([theirs.score(line) for line in lines], abs=1e-4)


def test_compiled_is_the_same(tmp_path):
    pytest.importorskip("numba")
    lines = ["a b c", "b", "", "é a"]
    assert np.array_equal(model_of(tmp_path, compiled=True).scores(lines), model_of(tmp_path).scores(lines))
