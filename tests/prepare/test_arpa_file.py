import gzip

import pytest

from deepen.core.errors import DataError
from deepen.prepare.arpa_file import read_arpa

SMALL = """This line is not read.

\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99 <s> -0.25
-0.5\t</s>
-0.7 a -0.125
-0.9\tb

\\2-grams:
-0.25\t<s> a
-0.5 a b
-0.375\tb </s>

\\end\\
"""


def written(tmp_path, text):
    path = tmp_path / "model.arpa"
    path.write_text(text, "utf-8")
    return path


def test_words_and_n_grams_as_they_stand(tmp_path):
    file = read_arpa(written(tmp_path, SMALL))
    assert file.words == ["<unk>", "</s>", "a", "b"]  # <s> is number 4
    assert file.orders[0].grams[:, 0].tolist() == [0, 4, 1, 2, 3]
    assert file.orders[0].backoffs.tolist() == [0, -0.25, 0, -0.125, 0]
    assert file.orders[1].grams.tolist() == [[4, 2], [2, 3], [3, 1]]
    assert file.orders[1].probabilities.tolist() == [-0.25, -0.5, -0.375]


REFUSED = [
    ("\\data\\", "data", "no line \\data\\"),
    ("ngram 1=5", "ngram 1=6", "line 7: the head says 6 1-grams, but here are 5"),
    ("ngram 2=3", "ngram 3=3", "line 5: expected 'ngram 2=COUNT', but is 'ngram 3=3'"),
    ("-0.5 a b", "-0.5 b", "line 16: expected a probability, 2 words and at most a backoff, but is '-0.5 b'"),
    ("-0.5 a b", "-0.5 a b a a", "but is '-0.5 a b a a'"),
    ("-0.5 a b", "-0.5 a b a", "line 16: expected a backoff in log10, but is 'a'"),
    ("-0.5 a b", "minus a b", "line 16: expected a probability in log10, but is 'minus'"),
    ("-0.5 a b", "nan a b", "line 16: expected a probability in log10, but is 'nan'"),
    ("-0.5 a b", "0.5 a b", "line 16: expected log10 of a probability, so at most 0, but is 0.5"),
    ("-0.5 a b", "-0.5 a c", "line 16: the word 'c' is not among the 1-grams"),
    ("-0.5 a b", "-0.5 <s> a", "line 16: this n-gram stands twice"),
    ("-0.9\tb", "-0.9\ta", "line 12: the word 'a' stands twice among the 1-grams"),
    ("-0.9\tb", "-0.9\t<UNK>", "line 12: the word '<UNK>' stands twice among the 1-grams"),
    ("\\2-grams:", "\\3-grams:", "line 14: expected \\2-grams:, but is '\\\\3-grams:'"),
    ("\\end\\\n", "", "ends without \\end\\"),
    ("\\2-grams:\n-0.25\t<s> a\n-0.5 a b\n-0.375\tb </s>\n", "", "expected \\2-grams:, but is '\\\\end\\\\'"),
]


@pytest.mark.parametrize(("old", "new", "said"), REFUSED)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path, old, new, said):
    assert old in SMALL
    with pytest.raises(DataError) as error:
        read_arpa(written(tmp_path, SMALL.replace(old, new)))
    assert said in str(error.value) and str(error.value).startswith(str(tmp_path))


def test_broken_bytes_are_refused(tmp_path):
    path = tmp_path / "model.arpa"
    path.write_bytes(SMALL.replace("-0.5 a b", "-0.5 a X").encode().replace(b"X", b"\xff"))
    with pytest.raises(DataError, match=r"line 16: expected UTF-8, but has a byte 0xff"):
        read_arpa(path)
    path.write_bytes(gzip.compress(SMALL.encode())[:-9])
    with pytest.raises(DataError, match="no whole gzip file"):
        read_arpa(path)
