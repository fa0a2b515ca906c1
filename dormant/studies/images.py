# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Labelled images: CIFAR-10 from its binary files, scikit-learn's handwritten digits, or a set that
is made from a seed."""

import dataclasses
import math
from pathlib import Path

import gin
import numpy as np

from dormant.checks import (
    ConfigurationError,
    errors_of,
    require,
    require_choice,
    require_count,
    require_number,
)
from dormant.memory import check_memory, machine_memory

SOURCES = ("CIFAR-10", "digits", "synthetic")
CLASSES = 10
_DIGITS, _DIGITS_SIDE, _DIGITS_BRIGHTEST = 1_797, 8, 16
_SIDE, _CHANNELS = 32, 3
_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_RECORDS, _RECORD_BYTES = 10_000, 1 + _CHANNELS * _SIDE * _SIDE


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Images:
    """The images of `Supervised`: `Images.*` in gin.

    Attributes:
      source: "CIFAR-10", read from a folder; "digits", the 1 797 handwritten digits of 8 x 8 pixels
        that come with scikit-learn; or "synthetic": for each of 10 classes a random image of its
        own, to which every image of the class adds noise. The synthetic set comes from the run's
        seed and stands for no data set.
      folder: of CIFAR-10's binary version, which holds data_batch_1.bin to data_batch_5.bin.
      count: how many images, the first of the data set.
      side: height and width of a synthetic image.
      noise: standard deviation of the noise of a synthetic image, in units of the pixels' own.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    source: str = "synthetic"
    folder: str = "data/cifar-10-batches-bin"
    count: int = 10_000
    side: int = 32
    noise: float = 2.0

    def __post_init__(self) -> None:
        require_choice("Images.source", self.source, SOURCES)
        require_count("Images.count", self.count, 1, "images")
        require_count("Images.side", self.side, 1, "pixels")
        require_number("Images.noise", self.noise, 0)
        require(isinstance(self.folder, str), "Images.folder", "a folder's path", self.folder)
        if self.source == "CIFAR-10":
            most = len(_FILES) * _RECORDS
            require(self.count <= most, "Images.count", f"at most {most} images", self.count)
        if self.source == "digits":
            enough = self.count <= _DIGITS
            require(enough, "Images.count", f"at most {_DIGITS} images", self.count)
        # float32 values, the noise and what is clipped, and the bytes themselves.
        needed, what = 13 * self.count * math.prod(self.shape), "the images and what makes them"
        with errors_of("Images"):
            check_memory("count", self.count, needed, what, machine_memory())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image: rows, columns, channels."""
        if self.source == "digits":
            return _DIGITS_SIDE, _DIGITS_SIDE, 1
        side = _SIDE if self.source == "CIFAR-10" else self.side
        return side, side, _CHANNELS

    def load(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The images and their labels. Files are read, nothing in them is executed.

        Args:
          seed: of a synthetic set; the others are the same for all.

        Returns:
          uint8 (count, rows, columns, channels) and int32 (count,), 0 to 9.

        Raises:
          ConfigurationError: when a file is missing or is not of CIFAR-10's binary version, or
            scikit-learn is not installed.
        """
        if self.source == "digits":
            return _read_digits(self.count)
        if self.source == "CIFAR-10":
            return _read_cifar10(self.folder, self.count)
        return _synthetic(self, np.random.default_rng(seed))


def _synthetic(images: Images, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, CLASSES, images.count, dtype=np.int32)
    prototypes = rng.standard_normal((CLASSES, *images.shape), dtype=np.float32)
    values = rng.standard_normal((images.count, *images.shape), dtype=np.float32)
    values *= images.noise
    values += prototypes[labels]
    # A standard deviation of 50 around the middle: few pixels are cut off.
    scale = 50.0 / np.sqrt(1.0 + images.noise**2)
    return np.clip(128.0 + scale * values, 0, 255).astype(np.uint8), labels


def _read_digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigurationError(
            f"`Images.source` = 'digits' needs scikit-learn ({error}):"
            " pip install 'dormant[digits]'"
        ) from error
    digits = load_digits()
    scaled = np.round(digits.images[:count] * (255 / _DIGITS_BRIGHTEST)).astype(np.uint8)
    return scaled[..., None], digits.target[:count].astype(np.int32)


def _read_cifar10(folder: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for name in _FILES[: -(-count // _RECORDS)]:
        path = Path(folder) / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                "`Images.folder` must be the folder of CIFAR-10's binary version (cifar-10-binary."
                f"tar.gz of cs.toronto.edu/~kriz/cifar.html), with {name} in it; {path} cannot be"
                f" read ({error.strerror}); got {folder!r}"
            ) from error
        records = np.frombuffer(content, np.uint8)
        size = _RECORDS * _RECORD_BYTES
        allowed = f"{_RECORDS} records of {_RECORD_BYTES} bytes, {size} bytes in all"
        require(records.size == size, str(path), allowed, f"{records.size} bytes")
        parts.append(records.reshape(_RECORDS, _RECORD_BYTES))
        labels = parts[-1][:, 0]
        allowed = f"CIFAR-10's binary version, whose labels are 0 to {CLASSES - 1}"
        require(labels.max() < CLASSES, str(path), allowed, f"label {labels.max()}")
    records = np.concatenate(parts)[:count]
    planes = records[:, 1:].reshape(-1, _CHANNELS, _SIDE, _SIDE)
    # The files have one plane a channel, the networks take channels last.
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].astype(np.int32)
