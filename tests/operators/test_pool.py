import numpy as np

from operators.pool import (
    CODES,
    GAINS,
    PoolLayout,
    Region,
    mix64,
    region_bytes,
    region_floats,
    section_starts,
)


def test_the_mixer_is_the_finaliser_of_splitmix64() -> None:
    # First output of splitmix64 seeded with 0 (Vigna's reference implementation).
    word = mix64(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))
    assert int(word[0]) == 0xE220A8397B1DCDAF


def test_a_region_holds_the_same_bytes_wherever_it_is_read_from() -> None:
    whole = region_bytes(5, Region(0, CODES[8], 0, 64))
    np.testing.assert_array_equal(whole[16:40], region_bytes(5, Region(0, CODES[8], 16, 24)))


def test_uniform_values_stay_in_their_range_and_differ_by_seed() -> None:
    region = Region(2, GAINS, 0, 4000)
    values = region_floats(1, region)
    assert values.min() >= np.float32(0.9)
    assert values.max() <= np.float32(1.1)
    assert not np.array_equal(values, region_floats(2, region))


def test_places_are_aligned_and_never_overlap() -> None:
    layout = PoolLayout(bits=4)
    first, second = layout.place("codes", 5000), layout.place("codes", 1)
    assert (first.offset, second.offset) == (0, 8192)
    assert section_starts(layout.sections())[1] == 4 << 20


def test_int4_codes_average_their_zero_point() -> None:
    packed = region_bytes(3, Region(0, CODES[4], 0, 1 << 16))
    codes = np.concatenate([packed & 15, packed >> 4])
    assert codes.min() == 1
    assert abs(codes.mean() - 8) < 0.05
