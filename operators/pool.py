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
LOWEST_BIT_OF_NIBBLES = np.uint64(0x1111111111111111)


@dataclass(frozen=True)
class Source:
    """What a section is filled with.

    "bytes" are uniform; "nibbles" are bytes whose halves are 1 to 15, 8 twice as often, so that int4 codes average
    their zero point (with plain bytes every logit vector points the same way, and an output check is blind);
    "uniform" are fp32 values in [low, high).
    """

    kind: str
    low: float = 0.0
    high: float = 0.0


CODES = {4: Source("nibbles"), 8: Source("bytes"), 32: Source("uniform", -0.07, 0.07)}
"""What a matrix is filled with by bits: codes, or at 32 bits the weights themselves, which deviate by 0.04."""
SCALES = {  # codes deviate by 4.4 at int4 and 74 at int8: weights of about 1 / sqrt(512)
    4: Source("uniform", 0.0064, 0.0128),
    8: Source("uniform", 0.0004, 0.0008),
    32: Source("uniform", 0.0, 1.0),  # holds nothing
}
GAINS = Source("uniform", 0.9, 1.1)
SMALLS = Source("uniform", -0.5, 0.5)
SECTION_NAMES = ("codes", "scales", "gains", "smalls")


@dataclass(frozen=True)
class Section:
    """A run of the pool file: `count` bytes, or `count` fp32 values where the source is uniform."""

    source: Source
    count: int

    @property
    def byte_length(self) -> int:
        """Bytes of the section before padding."""
        return 4 * self.count if self.source.kind == "uniform" else self.count


@dataclass(frozen=True)
class Region:
    """A tensor's place: its section, what fills it, its byte offset within that section, its length in bytes."""

    section_index: int
    source: Source
    offset: int
    length: int


@dataclass
class PoolLayout:
    """Hands out aligned places in the sections; `finish` fixes the file offsets."""

    bits: int
    used: list[int] = field(default_factory=lambda: [0] * len(SECTION_NAMES))
    pending: list[tuple[onnx.TensorProto, Region]] = field(default_factory=list)

    def place(self, section: str, length: int) -> Region:
        """Reserve `length` bytes of a section."""
        index = SECTION_NAMES.index(section)
        region = Region(index, self._sources[index], self.used[index], length)
        self.used[index] += _round_up(length, ALIGNMENT)
        return region

    def sections(self) -> tuple[Section, ...]:
        """Return the sections in file order, each rounded up to a whole number of steps, at least one."""
        lengths = [_round_up(max(used, 1), SECTION_STEP_BYTES) for used in self.used]
        return tuple(
            Section(source, length // 4 if source.kind == "uniform" else length)
            for source, length in zip(self._sources, lengths, strict=True)
        )

    def finish(self, location: str) -> None:
        """Write the file offsets of all placed tensors into their external-data entries."""
        starts = section_starts(self.sections())
        for tensor, region in self.pending:
            entries = {
                "location": location,
                "offset": str(starts[region.section_index] + region.offset),
                "length": str(region.length),
            }
            for key, text in entries.items():
                tensor.external_data.add(key=key, value=text)

    @property
    def _sources(self) -> tuple[Source, ...]:
        return (CODES[self.bits], SCALES[self.bits], GAINS, SMALLS)


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
    """Return the bytes of a place filled with bytes or nibbles; its offset is a multiple of 8."""
    words = section_words(seed, region.section_index, region.offset // 8, -(-region.length // 8))
    if region.source.kind == "nibbles":
        words = _centred_nibbles(words)
    return words.view(np.uint8)[: region.length]


def region_floats(seed: int, region: Region) -> NDArray[np.float32]:
    """Return the fp32 values of a place filled uniformly."""
    low, high = region.source.low, region.source.high
    words = section_words(seed, region.section_index, region.offset // 4, region.length // 4)
    unit = (words >> np.uint64(40)).astype(np.float64) / float(1 << 24)
    return (low + (high - low) * unit).astype(np.float32)


def _centred_nibbles(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Turn every half byte of 0 into 8."""
    set_bits = words | words >> np.uint64(1) | words >> np.uint64(2) | words >> np.uint64(3)
    zeros: NDArray[np.uint64] = ~set_bits & LOWEST_BIT_OF_NIBBLES
    return words | zeros << np.uint64(3)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
