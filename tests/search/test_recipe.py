import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.arrangement import ARRANGEMENTS
from search.recipe import Recipe, recipes

letters = st.sampled_from("CASDL")
some_recipes = st.builds(
    Recipe,
    letters,
    letters,
    st.floats(0, 0.5),
    letters,
    st.floats(0, 0.25),
    st.sampled_from(sorted(ARRANGEMENTS)),
)


@given(some_recipes, st.integers(1, 48))
def test_a_bag_holds_the_letters_of_the_layout(recipe, depth) -> None:
    assert sorted(recipe.bag(depth)) == sorted(recipe.layout(depth))
    assert len(recipe.layout(depth)) == depth
    assert set(recipe.layout(depth)) <= set(recipe.letters)


@given(some_recipes, st.integers(1, 48))
def test_the_layout_of_a_recipe_has_a_recipe(recipe, depth) -> None:
    layout = recipe.layout(depth)
    assert all(found.layout(depth) == layout for found in recipes(layout))
    assert next(recipes(layout), None) is not None


def test_shares_become_whole_blocks_and_never_a_majority() -> None:
    assert Recipe("C", "A", 0.37, "S", 0.2, "even").bag(16) == "C" * 7 + "A" * 6 + "S" * 3
    assert Recipe("C", "A", 0.5, "S", 0.25, "even").bag(9) == "C" * 3 + "A" * 4 + "S" * 2


def test_a_role_with_the_letter_of_another_is_left_out() -> None:
    assert Recipe("C", "C", 0.5, "A", 0.25, "even").bag(8) == "CCCCCCAA"
    assert Recipe("C", "A", 0.25, "A", 0.25, "even").bag(8) == "CCCCCCAA"


@pytest.mark.parametrize("layout", ["CASD", "CACCCCCCACCC"])
def test_a_layout_without_a_rule_has_no_recipe(layout) -> None:
    assert list(recipes(layout)) == []
