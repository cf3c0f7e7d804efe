"""Stacks of one mixer: what a further copy adds, and that no two copies share anything."""

import pytest

from operators.cost import parameters, state_bytes
from operators.errors import ArchitectureError
from operators.lowering import lower
from operators.mixer import Mixer
from operators.mixer_stacks import STACK_FFN_WIDTH, mixers_of_width, stack_of
from operators.registry import MIXERS

NARROW = mixers_of_width(128)


def test_every_mixer_of_the_registry_has_its_stack_and_short_conv_is_the_first() -> None:
    assert [mixer.name for mixer in mixers_of_width(1024)] == [
        "short_conv", *(name for name in MIXERS if name != "short_conv")
    ]  # fmt: skip


@pytest.mark.parametrize("mixer", NARROW, ids=lambda mixer: mixer.name)
def test_a_further_copy_adds_one_mixer_with_its_norms_and_the_narrowest_ffn(mixer: Mixer) -> None:
    two, six = (parameters(stack_of(mixer, copies, 128)).total for copies in (2, 6))
    assert (six - two) / 4 == mixer.parameters(128) + 3 * 128 * STACK_FFN_WIDTH + 2 * 128


@pytest.mark.parametrize("mixer", NARROW, ids=lambda mixer: mixer.name)
def test_every_copy_has_weights_and_a_state_of_its_own(mixer: Mixer) -> None:
    graph = lower(stack_of(mixer, 3, 128), 512)
    regions = [placement.region for placement in graph.placements]
    assert len({(region.section_index, region.offset) for region in regions}) == len(regions)
    assert len({state.input_name for state in graph.states}) == len(graph.states)
    assert len(graph.states) % 3 == 0


def test_full_attention_alone_holds_a_state_that_grows_with_the_context() -> None:
    grown = [
        mixer.code
        for mixer in NARROW
        if state_bytes(stack_of(mixer, 1, 128), 32768) > state_bytes(stack_of(mixer, 1, 128), 512)
    ]
    assert grown == ["A"]


@pytest.mark.parametrize("width", [0, 64, 200])
def test_a_width_that_heads_do_not_fill_is_refused(width: int) -> None:
    with pytest.raises(ArchitectureError, match="multiple of 128"):
        mixers_of_width(width)
