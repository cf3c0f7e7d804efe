"""Layout drawings and the mixers' colours."""

import pytest

from reports.drawing import TALLEST_FFN, block_runs, draw_layout, widest_ffn
from reports.palette import MIXER_STYLES, mixer_style
from reports.rows import BlockRow
from tests.reports.builders import a_trial


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("code", "CASDL")
def test_every_mixers_letter_reads_on_its_colour(code: str) -> None:
    style = MIXER_STYLES[code]
    dark, light = sorted([_luminance(style.fill), _luminance(style.ink)])
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_strip_has_one_shape_per_block_in_order() -> None:
    trial = a_trial(0, "CCAD")
    drawing = draw_layout(trial, widest_ffn((trial,)))
    assert "".join(shape.code for shape in drawing.shapes) == "CCAD"
    assert [shape.x for shape in drawing.shapes] == sorted({shape.x for shape in drawing.shapes})
    assert drawing.shapes[2].words.startswith("Block 3: grouped-query attention")


def test_heights_are_in_proportion_to_the_widest_ffn() -> None:
    blocks = (BlockRow("C", "short convolution", 1000), BlockRow("A", "attention", 500))
    drawing = draw_layout(a_trial(0, "CA", blocks=blocks), 1000)
    assert [shape.ffn_height for shape in drawing.shapes] == [TALLEST_FFN, TALLEST_FFN / 2]


def test_a_letter_that_is_not_known_is_drawn_grey() -> None:
    assert mixer_style("Z").name == "unknown mixer"


def test_blocks_that_are_alike_and_follow_one_another_are_told_once() -> None:
    conv, attention = BlockRow("C", "short conv", 960), BlockRow("A", "attention", 960)
    runs = block_runs((conv, conv, attention, conv))
    assert runs == (("1 to 2", conv), ("3", attention), ("4", conv))
    assert block_runs(()) == ()
