"""I: images."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.harness import Case
from tests.faults.pictures import arrays, cifar, digits, encoded, jpeg, photos, pixels, with_file


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, body: bytes = b"", *, bits: int = 1, extra: bytes = b"") -> bytes:
    """A grey PNG with any size in its header."""
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bomb(side: int) -> bytes:
    """A valid black 1-bit PNG of side x side pixels in a few kilobytes."""
    row = b"\0" * (1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    return png_of(side, side, body)


def bad_crc() -> bytes:
    data = bytearray(encoded(pixels(1)))
    data[data.index(b"IDAT") + 10] ^= 0xFF
    return bytes(data)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cmyk() -> bytes:
    return saved(Image.fromarray(pixels(1)).convert("CMYK"), "JPEG")


def deep_png(most: int) -> bytes:
    values = np.linspace(0, most, 256).reshape(16, 16).astype(np.uint16)
    return saved(Image.fromarray(values), "PNG")


def float_tiff(*, bad: bool) -> bytes:
    values = np.linspace(0, 1, 256).reshape(16, 16).astype(np.float32)
    if bad:
        values[3, 3] = np.nan
    return saved(Image.fromarray(values), "TIFF")


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(pixels(index)) for index in range(5)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(pixels(1, height=16, width=12)), "JPEG", exif=exif)


def many_scans() -> bytes:
    data = saved(Image.fromarray(pixels(1)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 300 + data[-2:]


def mode(name: str) -> Callable[[], bytes]:
    return lambda: saved(Image.fromarray(pixels(1)).convert(name), "PNG")


def half(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def damaged_exif() -> bytes:
    return saved(Image.fromarray(pixels(1)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x99" * 40)


def broken_profile() -> bytes:
    return saved(Image.fromarray(pixels(1)), "PNG", icc_profile=b"not a profile" * 9)


def broken_profile_jpeg() -> bytes:
    return saved(Image.fromarray(pixels(1)), "JPEG", icc_profile=b"\0\0\xff\xffnot a profile" * 999)


def gamma() -> bytes:
    data = encoded(pixels(1))
    return data[:33] + chunk(b"gAMA", struct.pack(">I", 1)) + data[33:]


def large_metadata(kind: str, size: int) -> bytes:
    """10 MB beside a picture of 16 x 16: an EXIF block in a WebP or TIFF, text in a PNG."""
    if kind == "PNG":
        data = encoded(pixels(1))
        return data[:33] + chunk(b"tEXt", b"Comment\0" + b"x" * size) + data[33:]
    exif = Image.Exif()
    exif[0x010E] = "x" * size
    return saved(Image.fromarray(pixels(1)), kind, exif=exif)


def packed_metadata() -> bytes:
    """A few kilobytes of compressed text that unpack to 200 MB."""
    data = encoded(pixels(1))
    return data[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20), 1)) + data[33:]


def many_texts(count: int) -> bytes:
    data = encoded(pixels(1))
    return data[:33] + b"".join(chunk(b"tEXt", b"n\0%d" % index) for index in range(count)) + data[33:]


def with_hashes(change: Callable[[Path, list[str]], None]) -> Callable[[Path], Path]:
    """Photos with a list of their SHA-256 beside them, both of which may be changed."""

    def build(folder: Path) -> Path:
        root = photos(folder)
        paths = sorted(root.rglob("*.png"))
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in paths]
        change(root, lines)
        (folder / "hashes.txt").write_text("\n".join(lines) + "\n", "utf-8")
        return root

    return build


def other_content(root: Path, lines: list[str]) -> None:
    for name in ("cat/3.png", "dog/5.png"):
        (root / name).write_bytes(encoded(pixels(777)))
    lines.insert(0, "# made for this test")


def gone(root: Path, lines: list[str]) -> None:
    (root / "dog" / "2.png").unlink()


def shorter_list(root: Path, lines: list[str]) -> None:
    lines.pop()


def no_list(root: Path, lines: list[str]) -> None:
    lines[2] = "cat/2.png 1234"


def foreign_list(root: Path, lines: list[str]) -> None:
    lines[:] = [line.replace("photos/", "other/") for line in lines]


def all_the_same(folder: Path) -> Path:
    root = folder / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(8):
            text = f"{name} {index}".encode()  # other bytes, equal pixels
            (root / name / f"{index}.png").write_bytes(
                encoded(np.zeros((16, 16, 3), np.uint8))[:-12] + chunk(b"tEXt", b"n\0" + text) + chunk(b"IEND", b"")
            )
    return root


def mixed(folder: Path) -> Path:
    root = photos(folder)
    for index, name in enumerate(("L", "RGBA", "LA", "P", "1")):
        image = Image.fromarray(pixels(300 + index, height=20 + index, width=31)).convert(name)
        image.save(root / "cat" / f"{name}.png")
    return root


def with_idx(change: Callable[[bytes], bytes], *, packed: bool = True) -> Callable[[Path], Path]:
    """Idx files of which the training images' bytes are changed."""

    def build(folder: Path) -> Path:
        path = digits(folder / "digits") / "train-images-idx3-ubyte.gz"
        data = change(gzip.decompress(path.read_bytes()))
        path.write_bytes(gzip.compress(data, mtime=0) if packed else change(path.read_bytes()))
        return path.parent

    return build


def bomb_idx(folder: Path) -> Path:
    path = digits(folder / "digits") / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(400 << 20), 1, mtime=0))
    return path.parent


def few_labels(folder: Path) -> Path:
    path = digits(folder / "digits") / "train-labels-idx1-ubyte.gz"
    labels = np.zeros(13, np.uint8)
    path.write_bytes(gzip.compress(bytes((0, 0, 8, 1)) + struct.pack(">I", 13) + labels.tobytes(), mtime=0))
    return path.parent


def cut_cifar(folder: Path) -> Path:
    path = cifar(folder / "cifar") / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-5])
    return path.parent


def pickled_cifar(folder: Path) -> Path:
    root = folder / "cifar-10-batches-py"
    root.mkdir()
    (root / "data_batch_1").write_bytes(pickle.dumps({"data": [1, 2]}, protocol=2))
    return root


def npz_objects(folder: Path) -> Path:
    return arrays(folder, x_train=np.array([{}] * 20, object))


def npz_claims(folder: Path) -> Path:
    path = arrays(folder)
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    old = members["x_train.npy"]
    header = old[:128].replace(b"(20, 12, 12)", b"(99999999, 99, 99)")[:128]
    members["x_train.npy"] = header.replace(b"      \n", b"\n").ljust(127, b" ")[:127] + b"\n" + old[128:]
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def npz_bomb(folder: Path) -> Path:
    path = folder / "made.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened, opened.open("x_train.npy", "w") as member:
        head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 1000, 1000), }".ljust(117) + b"\n"
        member.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(1000))
    return path


def npz_cut(folder: Path) -> Path:
    path = arrays(folder)
    path.write_bytes(path.read_bytes()[:-300])
    return path


ALIEN = (
    ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n"),
    ("pdf", b"%PDF-1.7\n"),
    ("psd", b"8BPS\0\1"),
    ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
)
JPEG = jpeg(1)
HASHES = ("--hashes", "data/hashes.txt")
IMAGE_CASES = (
    Case("I01-half", with_file("cut.jpg", half(JPEG, 0.5)), ("cut.jpg: image file is truncated (", "of about"), "K"),
    Case("I01-most", with_file("cut.jpg", half(JPEG, 0.9)), ("cut.jpg: image file is truncated (",), "K"),
    Case("I01-end", with_file("cut.jpg", JPEG[:-2]), ("cut.jpg: image file is truncated (",), "K"),
    Case(
        "I02",
        with_hashes(other_content),
        ("cat/3.png: content does not match its sha256 (", "dog/5.png: content"),
        "K",
        options=HASHES,
    ),
    Case(
        "I02-missing",
        with_hashes(gone),
        ("dog/2.png: is listed with its sha256 but does not exist; get it again.",),
        "K",
        options=HASHES,
    ),
    Case("I02-right", with_hashes(lambda root, lines: None), (), "N", twin=photos, options=HASHES),
    Case("I02-unlisted", with_hashes(shorter_list), ("dog/7.png: is not listed in",), "W", options=HASHES),
    Case("I02-list", with_hashes(no_list), ("line 3: 'cat/2.png 1234' is not 64 hex digits",), "E", options=HASHES),
    Case("I02-other", with_hashes(foreign_list), ("none of its 16 files is one of",), "E", options=HASHES),
    Case("I03", with_file("more.jpg", JPEG + b"x" * 1000), (), "N"),
    Case("I04-crc", with_file("crc.png", bad_crc()), ("crc.png: image file is",), "K"),
    Case("I04-cut", with_file("cut.png", half(encoded(pixels(1)), 0.6)), ("cut.png: image file is truncated",), "K"),
    Case("I05", with_file("cmyk.jpg", cmyk()), (), "N"),
    Case("I07", with_file("deep.png", deep_png(65_535)), (), "N"),
    Case("I07-12bit", with_file("deep.png", deep_png(4_095)), ("deep.png: has 16-bit pixels of at most 4095",), "W"),
    Case("I08", with_file("float.tif", float_tiff(bad=False)), (), "N"),
    Case("I08-nan", with_file("float.tif", float_tiff(bad=True)), ("float.tif: has pixels that are NaN",), "K"),
    *(Case(f"I09-{name}", with_file("mode.png", mode(name)()), (), "N") for name in ("LA", "RGBA", "P", "1")),
    *(
        Case(f"I10-{kind}", with_file(f"many.{kind}", animated(kind)), (f"many.{kind}: has 5 frames",), "W")
        for kind in ("gif", "webp", "tiff")
    ),
    *(Case(f"I11-{number}", with_file("turned.jpg", rotated(number)), (), "N") for number in (1, 6, 8, 99)),
    Case("I13", with_file("bomb.png", bomb(13_000)), ("bomb.png: says it is 13,000 x 13,000 pixels",), "K"),
    Case("I14", with_file("bomb.png", bomb(20_000)), ("bomb.png: ", "64,000,000"), "K"),
    Case("I15-wide", with_file("wide.png", png_of(2**31 - 1, 1)), ("wide.png: ",), "K"),
    Case("I15-no-data", with_file("none.png", png_of(5_000, 5_000)), ("none.png: image file is truncated",), "K"),
    Case("I16-zero", with_file("zero.png", png_of(0, 0)), ("zero.png: is a PNG file whose header is damaged",), "K"),
    Case("I16-one", with_file("one.png", encoded(pixels(1, height=1, width=1))), (), "N"),
    Case(
        "I16-narrow", with_file("thin.png", encoded(pixels(1, height=1, width=2_000))), ("thin.png: is 2,000 x 1",), "W"
    ),
    *(
        Case(
            f"I18-{ending}",
            with_file(f"other.{ending}", content),
            (f"other.{ending}: .{ending} files are not read",),
            "K",
        )
        for ending, content in ALIEN
    ),
    Case("I18-renamed", with_file("paper.jpg", b"%PDF-1.7\n"), ("paper.jpg: is a PDF document, not an image",), "K"),
    Case("I19", all_the_same, ("all training images that were looked at are identical",), "W"),
    Case("I20", mixed, ("have 5 sizes",), "N"),
    Case("I21", with_file("profile.png", broken_profile()), (), "N"),
    Case("I21-jpeg", with_file("profile.jpg", broken_profile_jpeg()), (), "N"),
    Case("I21-gamma", with_file("gamma.png", gamma()), (), "N"),
    *(
        Case(f"I22-large-{kind}", with_file(f"large.{kind}", large_metadata(kind, 10_000_000)), (), "N")
        for kind in ("WEBP", "TIFF")
    ),
    Case("I22-texts", with_file("texts.png", many_texts(1_000)), (), "N"),
    Case("I22-large-PNG", with_file("large.png", large_metadata("PNG", 10_000_000)), (), "N"),
    Case("I22-packed", with_file("packed.png", packed_metadata()), ("packed.png: image file is damaged",), "K"),
    Case("I22-exif", with_file("exif.jpg", damaged_exif()), (), "N"),
    Case("I23-scans", with_file("scans.jpg", many_scans()), ("scans.jpg: is a JPEG of ", "scans; at most 100"), "K"),
    Case(
        "I23-chunks",
        with_file("chunks.png", png_of(16, 16, zlib.compress(bytes(48)), extra=chunk(b"tEXt", b"") * 100_000)),
        ("chunks.png: is a PNG of more than 10,000 chunks",),
        "K",
    ),
    Case("I24-magic", with_idx(lambda data: b"\0\0\x0d\3" + data[4:]), ("starts with 00000d03", "00000803"), "E"),
    Case(
        "I24-count", with_idx(lambda data: data[:4] + struct.pack(">I", 200) + data[8:]), ("28,800 bytes", "2,880"), "E"
    ),
    Case("I24-cut", with_idx(lambda data: data[:-40], packed=False), ("the compressed file is cut",), "E"),
    Case("I24-bomb", bomb_idx, ("2,880 bytes after it, but more are there",), "E"),
    Case("I24-labels", few_labels, ("holds 13 labels", "20 images"), "E"),
    Case("I25-cut", cut_cifar, ("data_batch_1.bin: holds 61,455 bytes", "expected 61,460"), "E"),
    Case("I25-pickle", pickled_cifar, ("is the pickled version of CIFAR", "take the binary version"), "E"),
    Case("I26-object", npz_objects, ("array x_train: holds Python objects",), "E"),
    Case("I26-claims", npz_claims, ("array x_train: its header says (99999999, 99, 99)",), "E"),
    Case("I26-bomb", npz_bomb, ("array x_train: its header says (100000, 1000, 1000)",), "E"),
    Case("I26-cut", npz_cut, ("made.npz: is cut or damaged",), "E"),
)
