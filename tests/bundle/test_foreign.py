"""Weights from elsewhere: read where they are tensors, refused in a sentence where they are not; no code runs."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile

import pytest
import torch

from deepen.bundle import save, tensors
from deepen.bundle.foreign import load_state_dict
from deepen.core.errors import RunError

STATE = {"a.weight": torch.arange(15.0).reshape(3, 5), "a.bias": torch.ones(3), "n": torch.tensor(7)}


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def same(found):
    return set(found) == set(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_in_their_usual_wrappings_are_read(tmp_path, wrapped, prefix, zipped):
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    whole = {wrapped: state, "epoch": 3} if wrapped else state
    torch.save(whole, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert same(load_state_dict(tmp_path / "w.pth"))


def test_safetensors_and_our_own_weights_are_read_whatever_their_name(tmp_path):
    (tmp_path / "a.bin").write_bytes(tensors.encode(STATE, {}))
    (tmp_path / "b").write_bytes(tensors.sealed(STATE))
    assert same(load_state_dict(tmp_path / "a.bin")) and same(load_state_dict(tmp_path / "b"))


def test_a_flipped_bit_in_our_own_weights_or_an_archive_is_noticed(tmp_path):
    torch.save(STATE, tmp_path / "a")
    (tmp_path / "b").write_bytes(tensors.sealed(STATE))
    for name in ("a", "b"):
        content = bytearray((tmp_path / name).read_bytes())
        place = content.index(struct.pack("<f", 13.0))
        content[place] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match="damaged"):
            load_state_dict(tmp_path / name)


def hostile(folder):
    """Every file that would run code, were it unpickled."""
    marker = folder / "marker"
    found = {}
    for name, content in (("alone", Planted(marker)), ("inside", {"a": torch.ones(2), "b": Planted(marker)})):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=zipped)
            found[f"{name}, {'zip' if zipped else 'legacy'}"] = stream.getvalue()
        for protocol in range(6):
            found[f"{name}, pickle {protocol}"] = pickle.dumps(content, protocol=protocol)
    found["program"] = _archive({"m/constants.pkl": found["alone, pickle 2"], "m/data.pkl": found["alone, pickle 2"]})
    found["exported"] = _archive({"p/data/sample_inputs/model.pt": found["alone, zip"], "p/archive_format": b"pt2"})
    found["numpy"] = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(118)
    found["numpy"] += found["alone, pickle 2"]
    return found, marker


def _archive(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_no_file_runs_code(tmp_path):
    files, marker = hostile(tmp_path)
    for name, content in files.items():
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(RunError) as caught:
            load_state_dict(tmp_path / "w.pth")
        text = str(caught.value)
        assert text.startswith(str(tmp_path / "w.pth")) and "\n" not in text and "Error" not in text, (name, text)
        assert "weights_only" not in text and not marker.exists(), name
    assert len(files) >= 18


def test_a_whole_model_is_refused_by_the_name_of_what_it_asks_for(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "w.pth")
    with pytest.raises(RunError, match=r"it asks for torch\.nn\.modules\.linear\.Linear; save it anew"):
        load_state_dict(tmp_path / "w.pth")


def test_a_claim_of_more_than_the_file_holds_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(10**12)}, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").stat().st_size < 2000
    with pytest.raises(RunError, match=r"a claims 1,000,000,000,000 elements"):
        load_state_dict(tmp_path / "w.pth")


def test_compressed_members_are_refused(tmp_path):
    torch.save(STATE, tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as old, zipfile.ZipFile(tmp_path / "b", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    with pytest.raises(RunError, match="is compressed"):
        load_state_dict(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds none"),
        ([torch.ones(2)], "holds a list"),
        ({"a": 3}, "'a' is a int"),
        ({3: torch.ones(2)}, "3 is a Tensor"),
        ({"a": torch.eye(3).to_sparse()}, "a is sparse"),
        ({"a": torch.empty(3, device="meta")}, "sparse, quantized or empty"),
    ],
)
def test_what_is_not_tensors_by_name_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(RunError, match=words):
        load_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x80", b"<html>not found</html>", b"\x89HDF\r\n\x1a\n" * 9, b"PK\3\4" * 99]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(RunError, match=r"w\.pth"):
        load_state_dict(tmp_path / "w.pth")


def test_cut_anywhere_it_is_refused(tmp_path):
    for name, content in (("zip", _saved(True)), ("legacy", _saved(False)), ("safe", tensors.encode(STATE, {}))):
        for twentieth in range(20):
            (tmp_path / name).write_bytes(content[: len(content) * twentieth // 20])
            with pytest.raises(RunError):
                load_state_dict(tmp_path / name)


def _saved(zipped):
    stream = io.BytesIO()
    torch.save(STATE, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def test_a_missing_file_names_the_nearest_one_and_nan_is_said(tmp_path):
    torch.save({"a": torch.tensor([float("nan")])}, tmp_path / "resnet.pth")
    with pytest.raises(RunError, match=r"no such file of weights; did you mean .*resnet\.pth\?"):
        load_state_dict(tmp_path / "resnets.pth")
    notes = []
    load_state_dict(tmp_path / "resnet.pth", notes=notes)
    assert len(notes) == 1 and "the first is a" in notes[0]
    with pytest.raises(RunError, match="is a folder"):
        load_state_dict(tmp_path)


def test_a_plain_name_is_made_for_any_text():
    assert save.plain_name("$(id)`{x}`") == "id---x"
