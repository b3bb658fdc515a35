"""Reading .onnx files that may be damaged, foreign or hostile: each gets one sentence before an engine sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepen.core.errors import RunError
from deepen.runtime import onnx_file
from tests.runtime.files import graph, written

onnx = pytest.importorskip("onnx")


def test_what_was_written_is_read_and_is_plain_onnx(tmp_path: Path) -> None:
    path = written(tmp_path / "small.onnx")
    found = onnx_file.read(path)
    assert found.description["task"] == "tabular-classification" and found.content == path.read_bytes()
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == ["deepen", "deepen.sha256"]


def _external(model) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _external_without_location(model) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def _domain_of_node(model) -> None:
    model.graph.node[0].domain = "com.evil"


def _domain_imported(model) -> None:
    model.opset_import.add(domain="ai.onnx.contrib", version=1)


def _function(model) -> None:
    model.functions.add(name="own", domain="")


def _loop(model) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["z"], body=body))


def _loop_within(model) -> None:
    body = onnx.helper.make_graph([onnx.helper.make_node("Scan", ["x"], ["z"])], "inner", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body))


def _deep(model) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    for _ in range(20):
        body = onnx.helper.make_graph([onnx.helper.make_node("If", ["x"], ["z"], then_branch=body)], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body))


def _claim(model) -> None:
    model.graph.initializer[0].dims[:] = [1 << 30, 1 << 9]


def _negative(model) -> None:
    model.graph.initializer[0].dims[:] = [-1, 4]


def _many(model) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["x"])
    model.graph.node.extend([node] * (onnx_file.MOST_NODES + 1))


def _sparse(model) -> None:
    model.graph.sparse_initializer.add()


def _claim_in_attribute(model) -> None:
    tensor = onnx.TensorProto(dims=[1 << 39], data_type=1, raw_data=b"1234")
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["x"], ["z"], value=tensor))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_external, "tensors that lie in another file"),
        (_external_without_location, "tensors that lie in another file"),
        (_domain_of_node, "'com.evil'"),
        (_domain_imported, "'ai.onnx.contrib'"),
        (_function, "functions"),
        (_loop, "a loop"),
        (_loop_within, "a loop"),
        (_deep, "graphs within graphs"),
        (_claim, "claims 549,755,813,888 elements in 16 bytes"),
        (_negative, "impossible shape"),
        (_many, "more than 100,000 operators"),
        (_sparse, "sparse tensors"),
        (_claim_in_attribute, "claims"),
    ],
)
def test_harmful_graphs_are_refused_though_their_seal_is_right(tmp_path: Path, change, words: str) -> None:
    path = written(tmp_path / "bad.onnx", graph(change=change))
    with pytest.raises(RunError, match="which is refused") as caught:
        onnx_file.read(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_hard_link_beside_it_is_no_way_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0" * 16)
    os.link(secret, tmp_path / "weights.bin")

    def change(model) -> None:
        _external(model)
        model.graph.initializer[0].external_data[0].value = "weights.bin"

    with pytest.raises(RunError, match="another file"):
        onnx_file.read(written(tmp_path / "bad.onnx", graph(change=change)))


def test_every_flipped_or_missing_byte_is_noticed(tmp_path: Path) -> None:
    content = written(tmp_path / "small.onnx").read_bytes()
    path = tmp_path / "damaged.onnx"
    for place in range(0, len(content), 41):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(RunError):
            onnx_file.read(path)
        path.write_bytes(content[:place])
        with pytest.raises(RunError):
            onnx_file.read(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 9}, "format version 9, but this deepen reads up to 1"),
        ({"answer": ["classes"]}, "its field 'answer' is missing or of the wrong type"),
        ({"preparation": {"kind": "../x"}}, "its field 'preparation' has no kind"),
    ],
)
def test_other_descriptions_get_a_sentence(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(RunError, match="small") as caught:
        onnx_file.read(written(tmp_path / "small.onnx", **changes))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file; did you mean"),
        (b"", "holds nothing of deepen"),
        (graph(), "holds nothing of deepen"),
        (b"PK\x03\x04 no model at all", "damaged, or no ONNX file"),
        (b"\x3a\xff\xff\xff\xff\x0f", "claims 4,294,967,295 bytes"),
    ],
)
def test_foreign_files_get_a_sentence(tmp_path: Path, content: bytes | None, words: str) -> None:
    (tmp_path / "photo.onnx").write_bytes(b"")
    path = tmp_path / "photos.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        onnx_file.read(path)
    assert words in str(caught.value)


def test_a_second_description_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(graph())
    model.metadata_props.add(key="deepen", value="{}")
    with pytest.raises(RunError, match="'deepen' twice"):
        onnx_file.read(written(tmp_path / "small.onnx", model.SerializeToString()))


def test_the_size_of_a_file_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "small.onnx")
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    with pytest.raises(RunError, match="at most 100 bytes"):
        onnx_file.read(path)
