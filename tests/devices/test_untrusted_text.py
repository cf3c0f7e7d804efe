"""Text from devices: bounded, and nothing hidden in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.untrusted_text import LONGEST_LINE, LONGEST_LOG, visible_line, visible_log


def test_a_line_is_one_line_and_says_what_was_hidden() -> None:
    assert (
        visible_line(" the link\r\n  was \x1b[31mcut\x00\u202e\n") == "the link was \\x1b[31mcut\\x00\\u202e"
    )


def test_a_log_keeps_its_lines_tabs_and_letters() -> None:
    assert visible_log("größer\t1\r\n日本\n") == "größer\t1\n日本\n"


@pytest.mark.parametrize(("clean", "longest"), [(visible_line, LONGEST_LINE), (visible_log, LONGEST_LOG)])
def test_long_text_keeps_its_ends(clean: object, longest: int) -> None:
    shown = clean("begin" + "x" * 10**6 + "end")  # type: ignore[operator]
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert len(shown) <= longest


@given(st.text(st.characters(codec=None), max_size=50))
def test_whatever_comes_can_be_stored_and_cleaning_it_again_changes_nothing(text: str) -> None:
    shown = visible_log(text)
    shown.encode()  # no half of a surrogate pair is left
    assert all(letter.isprintable() or letter in "\n\t" or ord(letter) > 0x9F for letter in shown)
    assert visible_log(shown) == shown
