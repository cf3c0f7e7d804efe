import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import registry
from operators.architecture import Architecture
from operators.cost import parameters
from search.errors import InfeasibleSpace
from search.parametrisation import Parametrisation
from search.scaling import scale_layout
from search.space import Budget, MixerChoice, SearchSpace

SIXTY_MILLION = Budget(60_000_000)
MIXERS = (
    MixerChoice.of("short_conv", {"kernel_size": [3, 4]}),
    MixerChoice.of("grouped_query_attention", {"head_size": [32, 64], "kv_heads": [1, 2, 4]}),
    MixerChoice.of("sliding_window_attention", {"kv_heads": [1, 2], "window": [128, 256]}),
    MixerChoice.of("gated_delta_net"),
    MixerChoice.of("linear_attention"),
)


def a_space(**changes) -> SearchSpace:
    fields = {"vocabulary": 32768, "embedding_ratio": (0.14, 0.46), "depth": (8, 24), "mixers": MIXERS}
    return SearchSpace(**{**fields, **changes})


def a_parametrisation(**changes) -> Parametrisation:
    return Parametrisation.of(a_space(**changes), SIXTY_MILLION)


WHOLE = a_parametrisation()
SMALLER = [
    a_parametrisation(mixers=MIXERS[:1]),
    a_parametrisation(mixers=MIXERS[3:4], embedding_ratio=(0.27, 0.29), depth=(16, 16)),
    a_parametrisation(mixers=MIXERS[:2]),
    a_parametrisation(mixers=MIXERS[1:4]),
]


def an_architecture(parametrisation: Parametrisation, shares: list[float]) -> Architecture:
    dimensions = parametrisation.dimensions.items()
    return parametrisation.decode(
        {name: dim.at(share) for (name, dim), share in zip(dimensions, shares, strict=False)}
    )


shares = st.lists(st.floats(0, 1, exclude_max=True), min_size=16, max_size=16)
spaces = st.sampled_from([WHOLE, *SMALLER])


@given(spaces, shares)
def test_every_choice_of_parameters_is_feasible(parametrisation, shares) -> None:
    architecture = an_architecture(parametrisation, shares)
    space, count = parametrisation.space, parameters(architecture)
    assert abs(count.total - 60_000_000) <= 600_000
    assert space.embedding_ratio[0] <= count.embedding_ratio <= space.embedding_ratio[1]
    assert space.depth[0] <= len(architecture.blocks) <= space.depth[1]
    assert {block.mixer.name for block in architecture.blocks} <= {choice.name for choice in space.mixers}
    for block in architecture.blocks:
        block.mixer.check(architecture.hidden_size)
        options = registry.MIXERS[block.mixer.name].sizing.read(block.mixer)
        assert all(options[option] in values for option, values in space.choice(block.mixer.name).options)


@given(spaces, shares)
@settings(max_examples=60)
def test_what_was_decoded_can_be_encoded_and_stands_for_the_same_architecture(
    parametrisation, shares
) -> None:
    architecture = an_architecture(parametrisation, shares)
    encoded = parametrisation.encode(architecture)
    assert encoded is not None
    assert parametrisation.holds(encoded)
    assert parametrisation.decode(encoded) == architecture


@pytest.mark.parametrize(
    ("layout", "dominant", "minor", "share", "arrangement"),
    [
        ("CCACCACCACACACAC", "short_conv", "grouped_query_attention", 0.375, "denser_late"),
        ("SSSSSA" * 3, "sliding_window_attention", "grouped_query_attention", 1 / 6, "period_end"),
        ("DDDA" * 6, "gated_delta_net", "grouped_query_attention", 0.25, "period_end"),
    ],
)
def test_the_published_hybrids_can_be_expressed(layout, dominant, minor, share, arrangement) -> None:
    encoded = WHOLE.encode(scale_layout(layout, a_space(), SIXTY_MILLION))
    assert encoded is not None
    assert (encoded["dominant"], encoded["minor"], encoded["arrangement"]) == (dominant, minor, arrangement)
    assert encoded["minor_share"] == pytest.approx(share)


def test_three_mixers_can_be_mixed_as_in_lfm3() -> None:
    values = {name: dimension.at(0.0) for name, dimension in WHOLE.dimensions.items()}
    values |= {"dominant": "short_conv", "minor": "grouped_query_attention", "minor_share": 0.25}
    values |= {"accent": "sliding_window_attention", "accent_share": 0.21, "width": 1, "depth": 0.99}
    layout = WHOLE.decode(values).layout
    assert (len(layout), layout.count("A"), layout.count("S")) == (24, 6, 5)


@pytest.mark.parametrize("layout", ["CACCCCCCACCC", "CASDCASDCASD"])
def test_a_layout_that_no_parameters_express_is_not_encoded(layout) -> None:
    assert WHOLE.encode(scale_layout(layout, a_space(), SIXTY_MILLION)) is None


def test_an_architecture_of_another_space_is_not_encoded() -> None:
    elsewhere = a_space(vocabulary=16384)
    assert WHOLE.encode(scale_layout("C" * 12, elsewhere, SIXTY_MILLION, 0.2)) is None
    assert SMALLER[0].encode(scale_layout("A" * 12, a_space(), SIXTY_MILLION)) is None
    other_kernel = a_space(mixers=(MixerChoice.of("short_conv", {"kernel_size": 7}),))
    assert WHOLE.encode(scale_layout("C" * 12, other_kernel, SIXTY_MILLION)) is None


def test_parameters_with_a_single_value_are_left_out() -> None:
    one_mixer = SMALLER[1]
    assert list(one_mixer.dimensions) == ["depth"]
    assert list(SMALLER[0].dimensions) == ["width", "depth", "short_conv.kernel_size"]
    assert "accent" not in SMALLER[2].dimensions


def test_parameters_of_another_space_are_told_apart() -> None:
    good = {name: dimension.at(0.5) for name, dimension in WHOLE.dimensions.items()}
    assert WHOLE.holds(good)
    assert not WHOLE.holds(good | {"width": 99})
    assert not WHOLE.holds({name: value for name, value in good.items() if name != "depth"})


def test_an_infeasible_space_has_no_parametrisation() -> None:
    with pytest.raises(InfeasibleSpace):
        a_parametrisation(depth=(200, 250))
