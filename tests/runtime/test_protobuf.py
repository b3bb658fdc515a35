"""The wire format against the `onnx` package's own reader and writer, and against bytes that are no message."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.runtime.protobuf import WireError, bytes_field, fields, text_field, varint, varints


def test_numbers_by_hand() -> None:
    assert varint(0) == b"\x00" and varint(127) == b"\x7f" and varint(300) == b"\xac\x02"
    assert list(varints(memoryview(varint(5) + varint(1 << 63)))) == [5, 1 << 63]
    assert list(fields(memoryview(text_field(2, "hé")))) == [(2, b"h\xc3\xa9")]
    assert list(fields(memoryview(b"\x08\x96\x01\x0d\x01\x02\x03\x04"))) == [(1, 150), (1, b"\x01\x02\x03\x04")]


def test_fields_agree_with_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(np.arange(7, dtype=np.int64), "seven")
    found = dict(fields(memoryview(tensor.SerializeToString())))
    assert bytes(found[8]) == b"seven" and bytes(found[9]) == tensor.raw_data
    again = onnx.TensorProto.FromString(tensor.SerializeToString() + text_field(12, "said"))
    assert again.doc_string == "said"
    model = onnx.ModelProto.FromString(bytes_field(14, text_field(1, "key") + text_field(2, "value")))
    assert (model.metadata_props[0].key, model.metadata_props[0].value) == ("key", "value")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00", "the number 0"),
        (b"\x0b", "kind 3"),
        (b"\x0f", "kind 7"),
        (b"\x08", "does not end"),
        (b"\x08" + b"\xff" * 12, "does not end"),
        (b"\x12\x05abc", "claims 5 bytes where 3 are left"),
        (b"\x09\x01", "claims 8 bytes where 1 are left"),
    ],
)
def test_what_is_no_message_raises(content: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words):
        list(fields(memoryview(content)))


def test_random_bytes_never_do_anything_else() -> None:
    draw = np.random.default_rng(0)
    for _ in range(3000):
        try:
            for _number, value in fields(memoryview(draw.bytes(int(draw.integers(1, 60))))):
                assert isinstance(value, (int, memoryview))
        except WireError:
            continue
