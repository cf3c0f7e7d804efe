import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.dimension import Choice, Dimension, Fraction, Index

SHARES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("dimension", [Choice(("a", "b", "c")), Choice((3, 4)), Index(7), Fraction(0.25)])
@given(share=SHARES)
def test_every_share_is_a_value_of_the_dimension(dimension: Dimension, share: float) -> None:
    assert dimension.holds(dimension.at(share))


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Choice((3, 4)), 5),
        (Index(7), 7),
        (Index(7), -1),
        (Index(7), 1.5),
        (Fraction(0.25), 0.3),
        (Fraction(1.0), "x"),
    ],
)
def test_other_values_are_not(dimension: Dimension, value) -> None:
    assert not dimension.holds(value)
