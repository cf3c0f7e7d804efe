import pytest

from operators.precision import Precision
from operators.registry import MIXERS, codes
from search.errors import SpaceError
from search.space import Budget, MixerChoice, SearchSpace


def a_space(**changes) -> SearchSpace:
    fields = {
        "vocabulary": 32768,
        "embedding_ratio": (0.14, 0.46),
        "depth": (8, 20),
        "mixers": (MixerChoice.of("short_conv"), MixerChoice.of("grouped_query_attention")),
    }
    return SearchSpace(**{**fields, **changes})


@pytest.mark.parametrize("name", MIXERS)
def test_every_mixer_rule_is_complete_and_reads_back_what_it_built(name: str) -> None:
    rule = MIXERS[name].sizing
    assert rule.defaults.keys() == rule.smallest.keys()
    options = {option: values[0] for option, values in rule.defaults.items()}
    assert rule.fits(512, options)
    mixer = rule.build(512, options)
    mixer.check(512)
    assert rule.read(mixer) == options
    assert (mixer.name, mixer.code) == (name, MIXERS[name].config.code)
    assert codes()[mixer.code] == name


def test_a_mixer_offers_the_combinations_that_a_width_allows() -> None:
    choice = MixerChoice.of("grouped_query_attention", {"head_size": [64, 128], "kv_heads": [1, 2, 4]})
    assert choice.fitting(384) == (
        {"head_size": 64, "kv_heads": 1},
        {"head_size": 64, "kv_heads": 2},
        {"head_size": 128, "kv_heads": 1},
    )


def test_a_value_that_the_width_does_not_allow_stands_for_the_nearest_that_it_does() -> None:
    choice = MixerChoice.of("grouped_query_attention", {"kv_heads": [1, 2, 4]})
    assert choice.nearest(384, {"kv_heads": 4}).kv_heads == 2  # type: ignore[attr-defined]
    assert choice.nearest(576, {"kv_heads": 4}).kv_heads == 1  # type: ignore[attr-defined]


def test_a_width_that_no_head_size_divides_has_no_form() -> None:
    with pytest.raises(SpaceError, match="hidden size 320 is not a multiple of any head_size"):
        MixerChoice.of("gated_delta_net", {"head_size": 128}).nearest(320, {})


def test_options_left_out_keep_their_defaults() -> None:
    choice = MixerChoice.of("sliding_window_attention", {"window": [128, 512]})
    assert dict(choice.options) == {"head_size": (64,), "kv_heads": (2, 1), "window": (128, 512)}


@pytest.mark.parametrize(
    ("name", "options", "place", "hint"),
    [
        ("mamba", {}, "space.mixers", "use one of short_conv"),
        ("short_conv", {"kernel": 3}, "space.mixers.short_conv.kernel", "short_conv has kernel_size"),
        ("short_conv", {"kernel_size": 1}, "space.mixers.short_conv.kernel_size", "2 or more"),
        ("short_conv", {"kernel_size": []}, "space.mixers.short_conv.kernel_size", "one value or a list"),
        ("short_conv", {"kernel_size": [3, 3]}, "space.mixers.short_conv.kernel_size", "different"),
        ("short_conv", {"kernel_size": True}, "space.mixers.short_conv.kernel_size", "whole number"),
        ("gated_delta_net", {"head_size": 40}, "space.mixers.gated_delta_net.head_size", "multiple of 16"),
    ],
)
def test_a_wrong_mixer_entry_names_its_place_and_a_way_out(name, options, place, hint) -> None:
    with pytest.raises(SpaceError) as refusal:
        MixerChoice.of(name, options)
    assert refusal.value.place == place
    assert hint in refusal.value.way_out


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"vocabulary": 0}, "space.vocabulary"),
        ({"embedding_ratio": (0.5, 0.2)}, "space.embedding_ratio"),
        ({"embedding_ratio": (0.5, 1.2)}, "space.embedding_ratio"),
        ({"embedding_ratio": (float("nan"), 0.2)}, "space.embedding_ratio"),
        ({"depth": (0, 4)}, "space.depth"),
        ({"depth": (4, 1000)}, "space.depth"),
        ({"ffn_ratio": (-1.0, 4.0)}, "space.ffn_ratio"),
        ({"mixers": ()}, "space.mixers"),
        ({"mixers": (MixerChoice.of("short_conv"),) * 2}, "space.mixers"),
    ],
)
def test_a_wrong_field_of_a_space_is_refused_by_name(changes, place) -> None:
    with pytest.raises(SpaceError) as refusal:
        a_space(**changes)
    assert refusal.value.place == place


@pytest.mark.parametrize(
    ("parameters", "tolerance", "place"),
    [(0, 0.01, "budget.parameters"), (10, 0.0, "budget.tolerance"), (10, 0.5, "budget.tolerance")],
)
def test_a_wrong_budget_is_refused_by_name(parameters, tolerance, place) -> None:
    with pytest.raises(SpaceError) as refusal:
        Budget(parameters, tolerance)
    assert refusal.value.place == place


def test_dimensions_come_in_steps_of_the_quantisation_block() -> None:
    assert (a_space().width_step, a_space().ffn_step) == (64, 32)
    coarse = a_space(precision=Precision(4, 128))
    assert (coarse.width_step, coarse.ffn_step) == (128, 128)


def test_a_mixer_that_the_space_lacks_is_named() -> None:
    with pytest.raises(SpaceError, match="'linear_attention': add it to the space, which has short_conv"):
        a_space().choice("linear_attention")
