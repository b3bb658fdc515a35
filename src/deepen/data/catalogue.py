"""The data sets that `deepen fetch` knows: where their files lie, and what is in them to the last bit.

The addresses are those of the authors, or of copies that the authors or large libraries point at, tried in this order.
Whatever an address sends, a file counts only if it has the SHA-256 that stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepen.core.errors import OptionError
from deepen.core.names import did_you_mean

MNIST_PLACES = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FASHION_PLACES = ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",)
CIFAR_PLACES = ("https://www.cs.toronto.edu/~kriz/",)


@dataclass(frozen=True)
class RemoteFile:
    """A file at some addresses.

    places   addresses that it lies under, each ending in a slash
    members  of an archive: which of its files are kept, by their names in it; () for a file that is kept as it is
    """

    name: str
    num_bytes: int
    sha256: str
    places: tuple[str, ...]
    members: tuple[str, ...] = ()

    @property
    def addresses(self) -> list[str]:
        """Where it lies, the first choice first."""
        return [place + self.name for place in self.places]


@dataclass(frozen=True)
class Entry:
    """A data set: what it is, whose terms it comes under, and its files."""

    name: str
    about: str
    task: str
    home: str
    terms: str
    files: tuple[RemoteFile, ...]

    @property
    def num_bytes(self) -> int:
        """What is downloaded in all."""
        return sum(file.num_bytes for file in self.files)


_IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _idx(places: tuple[str, ...], sizes: tuple[int, ...], digests: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    described = zip(_IDX, sizes, digests, strict=True)
    return tuple(RemoteFile(name, num_bytes, digest, places) for name, num_bytes, digest in described)


_ENTRIES = (
    Entry(
        "fashion-mnist",
        "70,000 grey pictures of clothes, 28x28, 10 classes",
        "image-classification",
        "https://github.com/zalandoresearch/fashion-mnist",
        "MIT",
        _idx(
            FASHION_PLACES,
            (26_421_880, 29_515, 4_422_102, 5_148),
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
    Entry(
        "mnist",
        "70,000 handwritten digits, 28x28",
        "image-classification",
        "http://yann.lecun.com/exdb/mnist/",
        "not stated by the authors; often given as CC BY-SA 3.0",
        _idx(
            MNIST_PLACES,
            (9_912_422, 28_881, 1_648_877, 4_542),
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    Entry(
        "cifar10",
        "60,000 colour pictures of animals and vehicles, 32x32, 10 classes",
        "image-classification",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "not stated; the authors ask to be cited",
        (
            RemoteFile(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                CIFAR_PLACES,
                tuple(
                    f"cifar-10-batches-bin/{name}"
                    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin", "batches.meta.txt")
                ),
            ),
        ),
    ),
    Entry(
        "cifar100",
        "60,000 colour pictures, 32x32, 100 classes",
        "image-classification",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "not stated; the authors ask to be cited",
        (
            RemoteFile(
                "cifar-100-binary.tar.gz",
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                CIFAR_PLACES,
                tuple(
                    f"cifar-100-binary/{name}"
                    for name in ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")
                ),
            ),
        ),
    ),
)


def entries() -> dict[str, Entry]:
    """Every data set by name."""
    return {entry.name: entry for entry in _ENTRIES}


def entry(name: str) -> Entry:
    """The data set of this name; blanks, dots and underscores are dashes. Raises OptionError for an unknown one."""
    known = entries()
    plain = name.casefold().replace("_", "-").replace(" ", "-").replace(".", "-")
    found = known.get(plain) or known.get(plain.replace("-", ""))
    if found is None:
        raise OptionError(f"{name!r}: no such data set to fetch{did_you_mean(plain, known)}")
    return found
