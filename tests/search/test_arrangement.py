import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.arrangement import ARRANGEMENTS, arrange, positions


@pytest.mark.parametrize(
    ("depth", "dominant", "minors", "arrangement", "layout"),
    [
        (16, "C", "A" * 6, "denser_late", "CCACCACCACACACAC"),  # LFM2
        (18, "S", "A" * 3, "period_end", "SSSSSASSSSSASSSSSA"),  # Gemma 3 270M
        (24, "D", "A" * 6, "period_end", "DDDADDDADDDADDDADDDADDDA"),  # Qwen3.5 0.8B
        (8, "C", "A" * 2, "even", "CACCCACC"),
        (8, "C", "A" * 3, "late", "CCCCCAAA"),
        (8, "C", "A" * 3, "early", "AAACCCCC"),
    ],
)
def test_known_layouts_are_arranged_exactly(depth, dominant, minors, arrangement, layout) -> None:
    assert arrange(depth, dominant, minors, "", arrangement) == layout


def test_accents_stand_among_what_the_minors_leave() -> None:
    assert arrange(12, "C", "AAA", "SS", "even") == "CACSCACCSACC"
    assert arrange(12, "C", "AAA", "SS", "late") == "CCCCCCCSSAAA"
    assert arrange(12, "C", "AAA", "SS", "early") == "AAASSCCCCCCC"


@given(st.integers(1, 64), st.data(), st.sampled_from(sorted(ARRANGEMENTS)))
def test_places_are_different_rising_and_within_the_layout(length, data, arrangement) -> None:
    count = data.draw(st.integers(0, length // 2))
    places = positions(count, length, arrangement)
    assert len(places) == count
    assert list(places) == sorted(set(places))
    assert all(0 <= place < length for place in places)


@given(st.integers(4, 64), st.data(), st.sampled_from(sorted(ARRANGEMENTS)))
def test_a_layout_holds_as_many_of_each_letter_as_asked(depth, data, arrangement) -> None:
    minors, accents = data.draw(st.integers(0, depth // 2)), data.draw(st.integers(0, depth // 4))
    layout = arrange(depth, "C", "A" * minors, "S" * accents, arrangement)
    counts = (len(layout), layout.count("A"), layout.count("S"))
    assert counts == (depth, minors, accents)
