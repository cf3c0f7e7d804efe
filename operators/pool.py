"""The weight pool: one file of pseudo-random values from a seed, in which every tensor has a place of its own.

Random weights time like trained ones, but tiling one block or sharing offsets lets ONNX Runtime share prepacked
buffers and lie about memory and speed; so no two tensors overlap (a tied embedding and its head are one tensor).
The runner makes the same file on the device from the same numbers: see `mix64`.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

ALIGNMENT = 4096
SECTION_STEP_BYTES = 1 << 22
"""Sections grow in steps of 4 MiB so that most candidates of a study share one pool file."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SECTION_STRIDE = 0xD1B54A32D192ED03
WORD = 0xFFFFFFFFFFFFFFFF

UNIFORM_SECTIONS: dict[str, tuple[float, float]] = {
    "scales": (0.0064, 0.0128),  # int4 codes have a deviation of 4.6: weights of about 1 / sqrt(512)
    "gains": (0.9, 1.1),
    "smalls": (-0.5, 0.5),
}
SECTION_ORDER = ("bytes", "scales", "gains", "smalls")


@dataclass(frozen=True)
class Region:
    """A tensor's place: its section, its byte offset within that section, and its length in bytes."""

    section: str
    offset: int
    length: int


@dataclass(frozen=True)
class Section:
    """A run of the pool file: `count` random bytes, or `count` fp32 values uniform in [low, high)."""

    kind: str
    count: int
    low: float = 0.0
    high: float = 0.0

    @property
    def byte_length(self) -> int:
        """Bytes of the section before padding."""
        return self.count if self.kind == "bytes" else 4 * self.count


@dataclass
class PoolLayout:
    """Hands out aligned places in the sections; `finish` fixes the file offsets."""

    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SECTION_ORDER, 0))
    pending: list[tuple[onnx.TensorProto, Region]] = field(default_factory=list)

    def place_bytes(self, length: int) -> Region:
        """Reserve `length` random bytes."""
        return self._place("bytes", length)

    def place_floats(self, section: str, count: int) -> Region:
        """Reserve `count` fp32 values of a uniform section."""
        return self._place(section, 4 * count)

    def sections(self) -> tuple[Section, ...]:
        """Return the sections in file order, each rounded up to a whole number of steps."""
        return tuple(_section(name, _round_up(self.used[name], SECTION_STEP_BYTES)) for name in SECTION_ORDER)

    def finish(self, location: str) -> None:
        """Write the file offsets of all placed tensors into their external-data entries."""
        starts = section_starts(self.sections())
        offsets = dict(zip(SECTION_ORDER, starts, strict=True))
        for tensor, region in self.pending:
            entries = {
                "location": location,
                "offset": str(offsets[region.section] + region.offset),
                "length": str(region.length),
            }
            for key, text in entries.items():
                tensor.external_data.add(key=key, value=text)

    def _place(self, section: str, length: int) -> Region:
        region = Region(section, self.used[section], length)
        self.used[section] += _round_up(length, ALIGNMENT)
        return region


def section_starts(sections: tuple[Section, ...]) -> list[int]:
    """Byte offset of every section in the pool file."""
    starts, position = [], 0
    for section in sections:
        starts.append(position)
        position += _round_up(section.byte_length, ALIGNMENT)
    return starts


def mix64(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words (the finaliser of splitmix64, Steele et al. 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def section_words(seed: int, section_index: int, first: int, count: int) -> NDArray[np.uint64]:
    """Return `count` pseudo-random words of a section, from word `first` on."""
    key = mix64(np.array([(seed + section_index * SECTION_STRIDE) & WORD], dtype=np.uint64))
    counter = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    return mix64(key + counter * GOLDEN)


def region_bytes(seed: int, region: Region) -> NDArray[np.uint8]:
    """Return the bytes of a place in the bytes section; its offset is a multiple of 8."""
    words = section_words(seed, SECTION_ORDER.index("bytes"), region.offset // 8, -(-region.length // 8))
    return words.view(np.uint8)[: region.length]


def region_floats(seed: int, region: Region) -> NDArray[np.float32]:
    """Return the fp32 values of a place in a uniform section."""
    low, high = UNIFORM_SECTIONS[region.section]
    words = section_words(seed, SECTION_ORDER.index(region.section), region.offset // 4, region.length // 4)
    unit = (words >> np.uint64(40)).astype(np.float64) / float(1 << 24)
    return (low + (high - low) * unit).astype(np.float32)


def _section(name: str, byte_length: int) -> Section:
    if name == "bytes":
        return Section("bytes", byte_length)
    low, high = UNIFORM_SECTIONS[name]
    return Section("uniform", byte_length // 4, low, high)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
