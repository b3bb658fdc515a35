"""Images to tensors: what is learned, what is decoded, and that the same picture is the same tensor."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.data.dataset import content_key
from deepen.prepare import cache, image, image_decode, image_encode
from deepen.prepare.image_decode import Unusable, decode, header
from deepen.prepare.image_resize import resized

STATE = {"size": [6, 6], "channels": 3, "mean": [0.5] * 3, "std": [0.25] * 3, "background": [255] * 3, "resize": "crop"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", str(tmp_path / "cache"))


def noise(seed: int, height: int = 13, width: int = 11, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def saved(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(buffer, kind, **options)
    return buffer.getvalue()


def table(images: Sequence[bytes | str | None], kind: pa.DataType | None = None) -> pa.Table:
    keys = [content_key(data if isinstance(data, bytes) else str(data).encode()) for data in images]
    sources = [f"row {row}" for row in range(len(images))]
    return pa.table({"image": pa.array(images, kind or pa.binary()), "source": sources, "key": keys})


def arrays(pixels: np.ndarray) -> pa.Table:
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels.copy())
    return pa.table({"image": column, "source": [str(row) for row in range(len(pixels))]})


# What is learned


def test_arrays_keep_their_size_and_their_memory() -> None:
    pixels = np.stack([noise(seed, 17, 19, 1) for seed in range(5)])
    state = image.learn(arrays(pixels), faults=[])
    assert (state["size"], state["channels"]) == ([17, 19], 1)
    assert state["mean"] == [pytest.approx(pixels.mean() / 255, abs=1e-6)]
    assert state["std"] == [pytest.approx(pixels.std() / 255, abs=1e-6)]
    own = arrays(pixels)
    encoded = image.encode(own, state, "train", [])
    assert encoded.pixels is not None
    assert encoded.pixels.data_ptr() == own.column("image").chunk(0).storage.values.buffers()[1].address
    assert np.array_equal(encoded.pixels.numpy(), pixels)


def test_files_of_one_small_size_keep_it_and_others_are_brought_to_96() -> None:
    small = [saved(noise(seed)) for seed in range(4)]
    assert image.learn(table(small), faults=[])["size"] == [13, 11]
    faults: list[Fault] = []
    assert image.learn(table([*small, saved(noise(9, 20, 20))]), faults=faults)["size"] == [96, 96]
    assert "have 2 sizes, so they are brought to 96 x 96" in faults[0].message
    assert image.learn(table(small), faults=[], image_size=32)["size"] == [32, 32]


def test_grey_only_if_all_are_grey() -> None:
    grey = [saved(noise(seed, channels=1)) for seed in range(3)]
    assert image.learn(table(grey), faults=[])["channels"] == 1
    assert image.learn(table([*grey, saved(noise(5))]), faults=[])["channels"] == 3


def test_given_numbers_are_not_learned() -> None:
    state = image.learn(table([saved(noise(0))] * 2), faults=[], mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    assert (state["mean"], state["std"]) == ([0.1, 0.2, 0.3], [1.0, 1.0, 1.0])
    with pytest.raises(OptionError, match="--mean: 1 numbers were given for images of 3 channels"):
        image.learn(table([saved(noise(0))]), faults=[], mean=(0.1,))
    with pytest.raises(OptionError, match="--deviation 1,0,1: pixels are divided by it, so expected numbers above 0"):
        image.learn(table([saved(noise(0))]), faults=[], mean=(0.1,) * 3, std=(1.0, 0.0, 1.0))


def test_black_images_give_no_infinity() -> None:
    faults: list[Fault] = []
    black = arrays(np.zeros((4, 5, 7, 1), np.uint8))
    state = image.learn(black, faults=faults)
    assert [fault.kind for fault in faults] == ["image-constant"]
    pixels = image.encode(black, state, "train", []).pixels
    assert pixels is not None and image.normalized(pixels, state).abs().max() == 0


def test_nothing_readable_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="row 0: is text, not an image"):
        image.learn(table([b"hello"]), faults=[])


# What is decoded


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_pixels_in_another_format_are_the_same(kind: str, channels: int) -> None:
    """P7."""
    pixels = noise(3, channels=channels)
    assert np.array_equal(decode(saved(pixels, kind), channels=channels).pixels, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("least_size", [0, 40, 16])
@pytest.mark.parametrize("end", [0, 1, 300])
def test_simplejpeg_and_pillow_decode_the_same(
    mode: str, least_size: int, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    buffer = io.BytesIO()
    Image.fromarray(noise(2, 167, 131)).convert(mode).save(buffer, "JPEG", quality=80)
    data = buffer.getvalue()[: -end or None]  # some cut: the sentence then is the same, too
    found = []
    for module in (image_decode.simplejpeg, None):
        monkeypatch.setattr(image_decode, "simplejpeg", module)
        try:
            found.append(decode(data, channels=3, least_size=least_size).pixels)
        except Unusable as reason:
            found.append(np.frombuffer(str(reason).encode(), np.uint8))
    assert found[0].shape == found[1].shape
    assert np.abs(found[0].astype(int) - found[1]).max() <= 2  # 0 where both were built with one libjpeg-turbo
    assert (found[0].ndim == 1) == bool(end)


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_a_rotated_file_is_the_rotated_picture(orientation: int) -> None:
    """P8: what EXIF says is done, to pixels and to the size that the header tells."""
    pixels = noise(4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(pixels, "PNG", exif=exif)
    expected = TURNED[orientation](pixels)
    assert np.array_equal(decode(data, channels=3).pixels, expected)
    assert (header(data).height, header(data).width) == expected.shape[:2]


def test_transparency_shows_the_background() -> None:
    pixels = noise(1, channels=4)
    pixels[..., 3] = 0
    found = decode(saved(pixels), channels=3, background=(10, 20, 30)).pixels
    assert np.array_equal(found, np.broadcast_to(np.array([10, 20, 30]), found.shape))


def test_cmyk_is_close_to_its_rgb() -> None:
    flat = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(flat).convert("CMYK").save(buffer, "JPEG", quality=95)
    assert np.abs(decode(buffer.getvalue(), channels=3).pixels.astype(int) - flat).max() <= 3


def test_deep_and_floating_pixels() -> None:
    deep = np.array([[0, 257], [514, 65_535]], np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    assert decode(buffer.getvalue(), channels=1).pixels[..., 0].tolist() == [[0, 1], [2, 255]]
    for values, expected in (([[0.0, 0.5]], [[0, 128]]), ([[0.0, 128.0]], [[0, 128]]), ([[0.0, 65_535.0]], [[0, 255]])):
        buffer = io.BytesIO()
        Image.fromarray(np.array(values, np.float32)).save(buffer, "TIFF")
        assert decode(buffer.getvalue(), channels=1).pixels[..., 0].tolist() == expected


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "image-kind", r"is empty \(0 bytes\)"),
        (b"<html>", "image-kind", "is HTML text, not an image"),
        (saved(noise(1))[:60], "image-truncated", "image file is truncated"),
        (b"GIF89a", "image-damaged", "is a GIF file whose header is damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 90, "image-", "PNG|truncated|damaged"),
    ],
)
def test_what_cannot_be_decoded(data: bytes, kind: str, words: str) -> None:
    with pytest.raises(Unusable, match=words) as caught:
        decode(data, channels=3)
    assert caught.value.kind.startswith(kind)


def test_too_many_pixels_by_the_header() -> None:
    with pytest.raises(Unusable, match="says it is 11 x 13 pixels in its header; at most 100 are decoded"):
        header(saved(noise(1)), max_pixels=100)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]), st.floats(0, 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_cut_or_damaged_anywhere_is_pixels_or_a_sentence(kind: str, share: float, flip: int) -> None:
    """P17, and the same with one byte changed."""
    whole = saved(noise(2), kind)
    place = int(share * (len(whole) - 1))
    for data in (whole[:place], whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]):
        try:
            assert decode(data, channels=3, max_pixels=10_000).pixels.dtype == np.uint8
        except Unusable as reason:
            assert "Error" not in str(reason)


# Sizes


def test_crop_keeps_the_middle_and_pad_keeps_everything() -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    assert (resized(wide, (4, 4), "crop", (0, 0, 0)) == 200).all()
    padded = resized(wide, (12, 12), "pad", (7, 8, 9))
    assert padded[0, 0].tolist() == [7, 8, 9]
    assert np.array_equal(padded[4:8], wide)
    assert resized(wide, (5, 7), "stretch", (0, 0, 0)).shape == (5, 7, 3)


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["crop", "stretch", "pad"]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_size_from_every_size(height: int, width: int, to_height: int, to_width: int, how: str) -> None:
    flat = np.full((height, width, 3), 77, np.uint8)
    found = resized(flat, (to_height, to_width), how, (77, 77, 77))
    assert found.shape == (to_height, to_width, 3)
    assert (found == 77).all()


# Tables to tensors


def test_bad_images_are_left_out_with_their_row() -> None:
    faults: list[Fault] = []
    images = table([saved(noise(0)), b"<html>", saved(noise(1)), None])
    encoded = image.encode(images, STATE, "train", faults)
    assert encoded.kept.tolist() == [0, 2]
    assert encoded.pixels is not None and encoded.pixels.shape == (2, 6, 6, 3)
    assert [(fault.level, fault.kind, fault.place, fault.split, fault.row) for fault in faults] == [
        ("sample", "image-kind", "row 1", "train", 1),
        ("sample", "image-missing", "row 3", "train", 3),
    ]


def test_over_the_budget_images_are_decoded_batch_by_batch(tmp_path: Path) -> None:
    paths = []
    for seed in range(5):
        paths.append(str(tmp_path / f"{seed}.png"))
        Path(paths[-1]).write_bytes(saved(noise(seed)))
    images = table(paths, pa.string())
    whole = image.encode(images, STATE, "train", [])
    none = image.encode(images, STATE, "train", [], budget_bytes=100)
    assert whole.pixels is not None and none.pixels is None
    assert none.kept.tolist() == [0, 1, 2, 3, 4]
    rows = np.array([3, 0, 3])
    assert torch.equal(image.pixels_of(images.column("image"), rows, STATE), whole.pixels[[3, 0, 3]])
    Path(paths[3]).unlink()
    with pytest.raises(DataError, match=r"3\.png: does not exist \(any more\).* It was readable when training began"):
        image.pixels_of(images.column("image"), rows, STATE)


def test_arrays_of_another_kind_than_learned() -> None:
    grey, colour = noise(0, channels=1)[None], noise(1)[None]
    assert image.encode(arrays(grey), STATE, "test", []).pixels.shape == (1, 6, 6, 3)  # type: ignore[union-attr]
    state = {**STATE, "channels": 1, "size": [13, 11]}
    found = image.encode(arrays(colour), state, "test", []).pixels
    assert found is not None
    assert np.abs(found[0, ..., 0].numpy() - colour[0] @ np.array([0.299, 0.587, 0.114])).max() <= 0.51


def test_normalized_is_the_formula_in_either_order() -> None:
    pixels = torch.from_numpy(noise(0, 6, 6)[None])
    expected = (pixels.double() / 255 - 0.5) / 0.25
    for batch in (pixels, pixels.permute(0, 3, 1, 2)):
        found = image.normalized(batch, STATE)
        assert found.shape == (1, 3, 6, 6)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(found.double(), expected.permute(0, 3, 1, 2), atol=1e-6)


def test_a_png_for_the_report_holds_the_pixels() -> None:
    for channels in (1, 3):
        pixels = noise(0, channels=channels)
        assert np.array_equal(decode(image.encode_png(pixels), channels=channels).pixels, pixels)


# The cache


def many() -> pa.Table:
    return table([*(saved(noise(seed, 5, 5)) for seed in range(image.CACHED_FROM)), b"junk"])


def encoded_with_faults() -> tuple[image.EncodedImages, list[Fault]]:
    faults: list[Fault] = []
    return image.encode(many(), STATE, "train", faults), faults


def test_the_second_time_comes_from_the_cache_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, faults = encoded_with_faults()
    monkeypatch.setattr(image_encode, "filled", None)  # not called again
    second, again = encoded_with_faults()
    assert torch.equal(first.pixels, second.pixels)  # type: ignore[arg-type]
    assert first.kept.tolist() == second.kept.tolist()
    assert faults == again and len(faults) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_is_learned_and_sampled_a_second_time_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = image.learn(many(), faults=[], image_size=5)
    pixels, rows = image.some_pixels(many(), first, image.CACHED_FROM)
    monkeypatch.setattr(image_encode, "decoded", None)  # not called again
    assert image.learn(many(), faults=[], image_size=5) == first
    again, same = image.some_pixels(many(), first, image.CACHED_FROM)
    assert torch.equal(pixels, again) and rows.tolist() == same.tolist()


def test_pixels_measured_from_the_cache_are_those_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(image_encode.each_image(many(), STATE))
    monkeypatch.setattr(image_encode, "_budget", lambda: 100)
    single = list(image_encode.each_image(many(), STATE))
    assert len(whole) == image.CACHED_FROM and torch.equal(torch.stack(whole), torch.stack(single))


@pytest.mark.parametrize("place", [0, 9, 30, -1, -400])
def test_a_flipped_byte_is_noticed(place: int, tmp_path: Path) -> None:
    first, _ = encoded_with_faults()
    path = next((tmp_path / "cache").iterdir())
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    second, _ = encoded_with_faults()
    assert torch.equal(first.pixels, second.pixels)  # type: ignore[arg-type]
    assert cache.load(path.stem) is not None  # written anew


def test_a_cut_file_is_noticed(tmp_path: Path) -> None:
    first, _ = encoded_with_faults()
    path = next((tmp_path / "cache").iterdir())
    path.write_bytes(path.read_bytes()[:-7])
    assert torch.equal(encoded_with_faults()[0].pixels, first.pixels)  # type: ignore[arg-type]


def test_without_a_writable_folder_one_note_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F18."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPEN_CACHE", str(tmp_path / "file" / "cache"))
    _, faults = encoded_with_faults()
    assert [fault.kind for fault in faults if fault.level == "note"] == ["cache-unwritable"]


def test_off_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    encoded_with_faults()
    assert not (tmp_path / "cache").exists()


def test_the_least_recently_used_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded_with_faults()
    monkeypatch.setattr(cache, "KEPT_BYTES", 40_000)
    image.encode(many(), {**STATE, "size": [7, 7]}, "train", [])
    assert len(list((tmp_path / "cache").iterdir())) == 1
