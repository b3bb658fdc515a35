"""Weights and what preparing learned, verified to the last bit: K13, P18, S04, S05."""

from __future__ import annotations

import json
import os
import random
import struct

import pytest
import torch
from safetensors import torch as safetensors_torch

from deepen.bundle import checkpoint, load, records, save, tensors
from deepen.core import files, names
from deepen.core.errors import RunError
from tests.torture.kills import content_of

TASK = sorted(names.tasks())[0]


def make_run(folder):
    save.create(folder, {"task": TASK, "model": "lenet", "options": {"epochs": 3, "seed": 11}})
    files.write_json(folder / "prepare.json", {"labels": ["cat", "dog", "蝴蝶"], "mean": [0.25, 0.5]})
    save.update(folder, files=("prepare.json",))
    state = {"a.weight": torch.arange(35.0).reshape(5, 7), "a.bias": torch.ones(5), "n": torch.tensor(3)}
    for step in (1, 2):
        records.append_metrics(folder, {"step": step, "val_loss": 1 / step})
        records.append_timing(folder, {"step": step, "seconds": 0.5})
        checkpoint.save_checkpoint(folder, state, {"step": step}, step=step)
    save.save_weights(folder, state)
    (folder / "report.html").write_text("<p>fine</p>")
    save.update(folder, status="done", metrics={"accuracy": 0.875})
    return state


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run")
    return tmp_path / "run"


def damage_found(folder):
    """Whether reading everything in the folder, as the verbs do, complains in our own words."""
    notes = []
    try:
        load.load_header(folder, notes=notes)
        load.load_prepare(folder)
        load.load_weights(folder, notes=notes)
        notes.append(checkpoint.load_checkpoint(folder)[2])
        return any(notes)
    except RunError as error:
        assert "\n" not in str(error)
        return True


def test_what_was_saved_comes_back(run):
    state = load.load_weights(run)
    assert state["a.weight"].tolist() == torch.arange(35.0).reshape(5, 7).tolist()
    assert state["n"].dtype == torch.int64
    assert load.load_prepare(run)["labels"] == ["cat", "dog", "蝴蝶"]
    assert not damage_found(run)


def test_every_flipped_bit_of_200_is_found(run):
    whole = content_of(run)
    newest = max(name for name in whole if name.startswith("checkpoint/"))
    read = [name for name in sorted(whole) if not name.startswith("checkpoint/") or name == newest]
    chance = random.Random(20)
    for trial in range(200):
        name = read[trial % len(read)]
        content = bytearray(whole[name])
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (run / name).write_bytes(content)
        assert damage_found(run), (trial, name)
        (run / name).write_bytes(whole[name])
    assert not damage_found(run)


@pytest.mark.torture
def test_every_bit_of_a_run_folder_is_guarded(run):
    whole = content_of(run)
    newest = max(name for name in whole if name.startswith("checkpoint/"))
    for name in (name for name in whole if not name.startswith("checkpoint/") or name == newest):
        for index in range(len(whole[name])):
            content = bytearray(whole[name])
            content[index] ^= 1 << index % 8
            (run / name).write_bytes(content)
            assert damage_found(run), (name, index)
        (run / name).write_bytes(whole[name])


def test_every_file_cut_anywhere_or_missing_is_found(run):
    whole = content_of(run)
    newest = max(name for name in whole if name.startswith("checkpoint/"))
    for name in (name for name in whole if not name.startswith("checkpoint/") or name == newest):
        for twentieth in range(20):
            (run / name).write_bytes(whole[name][: len(whole[name]) * twentieth // 20])
            assert damage_found(run), (name, twentieth)
        (run / name).unlink()
        if not name.startswith("checkpoint/"):
            assert damage_found(run), name
        (run / name).write_bytes(whole[name])


def test_a_run_killed_in_training_is_guarded_too(tmp_path):
    """Nothing is listed yet: the weights hold their own seal, prepare.json is listed from the start."""
    folder = tmp_path / "run"
    make_run(folder)
    save.update(folder, status="training")
    whole = content_of(folder)
    chance = random.Random(21)
    for trial in range(60):
        name = ("run.json", "weights.safetensors", "prepare.json")[trial % 3]
        content = bytearray(whole[name])
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / name).write_bytes(content)
        assert damage_found(folder), (trial, name)
        (folder / name).write_bytes(whole[name])


def test_weights_of_nan_are_said(run):
    save.save_weights(
        run, {"a": torch.ones(3), "b": torch.tensor([1.0, float("nan")]), "c": torch.tensor(float("inf"))}
    )
    notes = []
    load.load_weights(run, notes=notes)
    assert len(notes) == 1 and "2 tensors hold NaN or infinities, the first is b" in notes[0]
    assert tensors.not_finite({"a": torch.tensor([3e38, -3e38]), "n": torch.tensor([1]), "e": torch.zeros(0)}) == []


def test_no_weights_yet_is_said(tmp_path):
    save.create(tmp_path / "run", {"task": TASK})
    with pytest.raises(RunError, match="no weights here"):
        load.load_weights(tmp_path / "run")


def test_weights_of_another_make_are_refused(run):
    from safetensors.torch import save as plain

    (run / "weights.safetensors").write_bytes(plain({"a": torch.ones(2)}))
    with pytest.raises(RunError, match="has no seal of ours"):
        load.load_weights(run)


@pytest.mark.parametrize("content", [b"[]", b"3", b'"x"'])
def test_prepare_must_be_an_object(run, content):
    (run / "prepare.json").write_bytes(content)
    with pytest.raises(RunError, match="expected a JSON object"):
        load.load_prepare(run)


def test_equal_tensors_give_equal_bytes_and_keep_their_order():
    state = {f"layer{i}.w": torch.full((3,), float(i)) for i in range(17)}
    assert tensors.sealed(state) == tensors.sealed(dict(state))
    names_read = list(tensors.decode(tensors.encode(state, {"a": 1, "b": 2}), "x")[0])
    assert names_read == list(tensors.decode(tensors.encode(state, {"a": 1, "b": 2}), "x")[0]) == sorted(state)


def test_tied_transposed_and_sliced_tensors_come_back():
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base, "tied": base, "turned": base.T, "row": base[1], "scalar": torch.tensor(2.5), "none": base[:0]}
    found, _ = tensors.decode(tensors.encode(state, {}), "x")
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert len({tensor.data_ptr() for tensor in found.values() if tensor.numel()}) == 5


def test_a_tensor_of_several_names_is_written_once():
    table, other = torch.randn(101, 11), torch.randn(7)
    once = tensors.sealed({"table": table, "other": other})
    tied = tensors.sealed({"table": table, "other": other, "out.weight": table, "out.twin": table})
    assert len(tied) < len(once) + 100
    assert len(tensors.sealed({"table": table, "other": other, "out.weight": table.clone()})) > len(once) + table.nbytes
    found = tensors.unsealed(tied, "x")
    assert set(found) == {"table", "other", "out.weight", "out.twin"}
    assert all(torch.equal(found[name], table) for name in ("table", "out.weight", "out.twin"))
    assert set(safetensors_torch.load(tied)) == {"table", "other"}
    for wrong in ({"a": "never"}, {"b": "a"}, {"c": ["a"]}, ["a"]):
        with pytest.raises(RunError, match="further names"):
            tensors.decode(tensors.encode({"a": table, "b": other}, {"same": wrong}), "x")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.uint8])
def test_every_kind_of_number_comes_back(dtype):
    tensor = torch.tensor([0, 1, 1, 0, 1]).to(dtype)
    found, note = tensors.decode(tensors.encode({"t": tensor}, {"k": [1, "é"]}), "x")
    assert found["t"].dtype == dtype and torch.equal(found["t"], tensor) and note == {"k": [1, "é"]}


def broken_files():
    good = tensors.encode({"a": torch.ones(3), "b": torch.ones(2)}, {"k": 1})
    length = struct.unpack("<Q", good[:8])[0]
    header, data = json.loads(good[8 : 8 + length]), good[8 + length :]

    def remade(text):
        return struct.pack("<Q", len(text)) + text + data

    def changed(**parts):
        return remade(json.dumps({**header, **parts}).encode())

    entry = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    return {
        "length 2**63": struct.pack("<Q", 2**63) + good[8:],
        "claims 4 TB": changed(a={"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}),
        "overlap": changed(b={"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}),
        "hole": changed(a={**entry, "shape": [2], "data_offsets": [0, 8]}),
        "wrong size": changed(a={**entry, "shape": [5]}),
        "unknown type": changed(a={**entry, "dtype": "X9"}),
        "duplicate key": remade(json.dumps(header).encode().replace(b'"b"', b'"a"')),
        "cut": good[:-3],
        "longer": good + b"x",
        "empty": b"",
        "eight bytes": good[:8],
        "not JSON": remade(b"{" * length),
        "deep": remade(b'{"a":' * 5000),
        "metadata is a list": remade(json.dumps({**header, "__metadata__": []}).encode()),
        "note is not JSON": remade(json.dumps({**header, "__metadata__": {"deepen": "x"}}).encode()),
        "note is a list": remade(json.dumps({**header, "__metadata__": {"deepen": "[]"}}).encode()),
    }


@pytest.mark.parametrize("name", sorted(broken_files()))
def test_every_broken_safetensors_file_is_refused_in_a_sentence(name, tmp_path):
    with pytest.raises(RunError) as caught:
        tensors.decode(broken_files()[name], tmp_path / "w.safetensors")
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "w.safetensors")) and "\n" not in text and "Error" not in text


def test_names_shapes_and_kinds_that_differ_are_listed_five_at_most():
    expected = {f"w{i}": torch.zeros(2, 3) for i in range(7)} | {
        "s": torch.zeros(3),
        "i": torch.zeros(3, dtype=torch.long),
    }
    tensors.match(dict(expected), expected)
    tensors.match({name: t.half() if t.is_floating_point() else t for name, t in expected.items()}, expected)
    state = {"s": torch.zeros(5), "i": torch.zeros(3), "v": torch.zeros(1)}
    with pytest.raises(RunError) as caught:
        tensors.match(state, expected, place="w.pth")
    assert str(caught.value) == (
        "w.pth: these weights are of another network: 7 missing (w0, w1, w2, w3, w4, ...); 1 unexpected (v); "
        "1 of another shape (s (5,) for (3,)); 1 of another kind of number (i float32 for int64)."
    )


def test_nothing_is_left_open(run):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert not damage_found(run)
    assert len(os.listdir("/proc/self/fd")) == before
