import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.architecture import Architecture, Block, SwiGLU
from operators.cost import parameters
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention
from search.errors import InfeasibleSpace, SpaceError
from search.scaling import free_space, resample, scale_layout, scale_reference
from search.space import Budget, MixerChoice, SearchSpace

SIXTY_MILLION = Budget(60_000_000)
LFM2 = "CCACCACCACACACAC"


def a_space(**changes) -> SearchSpace:
    fields = {
        "vocabulary": 32768,
        "embedding_ratio": (0.14, 0.46),
        "depth": (8, 20),
        "mixers": (
            MixerChoice.of("short_conv", {"kernel_size": [3, 4]}),
            MixerChoice.of("grouped_query_attention", {"kv_heads": [1, 2, 4]}),
            MixerChoice.of("sliding_window_attention", {"kv_heads": [1, 2], "window": [128, 256]}),
        ),
    }
    return SearchSpace(**{**fields, **changes})


def a_model(layout, forms, vocabulary, hidden_size, ffn_width, **style) -> Architecture:
    blocks = tuple(Block(forms[code], SwiGLU(ffn_width)) for code in layout)
    return Architecture(vocabulary, hidden_size, blocks, **style)


def lfm2_350m() -> Architecture:
    forms = {"C": ShortConv(3), "A": GroupQueryAttention(16, 8, 64)}
    return a_model(LFM2, forms, 65536, 1024, 4608)


def gemma_3_270m() -> Architecture:
    forms = {"S": SlidingWindowAttention(4, 1, 256, window=512), "A": GroupQueryAttention(4, 1, 256)}
    return a_model("SSSSSA" * 3, forms, 262144, 640, 2048, norm_placement="sandwich")


def qwen_3_5() -> Architecture:
    forms = {"D": GatedDeltaNet(16, 16, 128, 128), "A": GroupQueryAttention(8, 2, 256)}
    return a_model("DDDA" * 6, forms, 248320, 1024, 3584)


def test_lfm2_keeps_its_layout_near_its_embedding_ratio() -> None:
    scaled = scale_reference(lfm2_350m(), a_space(), SIXTY_MILLION)
    count = parameters(scaled.architecture)
    assert scaled.architecture.layout == LFM2
    assert count.total == pytest.approx(60_000_000, rel=0.01)
    assert count.embedding_ratio == pytest.approx(0.189, abs=0.025)
    assert scaled.adaptations == (
        "embedding ratio 21.0% instead of 18.9%",
        "grouped_query_attention: 2 kv heads of 6 instead of 8 of 16",
    )


def test_gemma_says_everything_that_the_space_made_it_give_up() -> None:
    scaled = scale_reference(gemma_3_270m(), a_space(), SIXTY_MILLION)
    assert scaled.architecture.layout == "SSSSSA" * 3
    assert scaled.adaptations == (
        "embedding ratio 35.1% instead of 62.6%",
        "sliding_window_attention: head_size 64 instead of 256",
        "sliding_window_attention: 2 kv heads of 10 instead of 1 of 4",
        "sliding_window_attention: window 256 instead of 512",
        "grouped_query_attention: head_size 64 instead of 256",
        "grouped_query_attention: 2 kv heads of 10 instead of 1 of 4",
        "pre-norm blocks instead of sandwich",
    )


def test_a_reference_deeper_than_the_space_is_resampled_with_its_proportions() -> None:
    scaled = scale_reference(qwen_3_5(), a_space(), SIXTY_MILLION)
    assert scaled.adaptations[0] == "20 blocks instead of 24"
    assert scaled.architecture.layout.count("A") == 5
    assert scaled.architecture.layout.count("D") == 15


def test_a_mixer_that_the_space_lacks_is_used_with_its_usual_options() -> None:
    space = a_space(mixers=(MixerChoice.of("linear_attention"),))
    assert scale_reference(lfm2_350m(), space, SIXTY_MILLION).architecture.layout == LFM2


def test_a_reference_that_meets_the_budget_nowhere_is_refused() -> None:
    space = a_space(ffn_ratio=(60.0, 64.0))
    with pytest.raises(InfeasibleSpace, match="its 16 blocks need FFN ratios of"):
        scale_reference(lfm2_350m(), space, SIXTY_MILLION)


def test_a_layout_takes_the_first_options_and_the_nearest_embedding_ratio() -> None:
    scaled = scale_layout(LFM2, a_space(), SIXTY_MILLION, embedding_ratio=0.25)
    assert scaled.layout == LFM2
    assert scaled.hidden_size == 448
    assert scaled.blocks[0].mixer == ShortConv(3)
    assert scaled.blocks[2].mixer == GroupQueryAttention(7, 1, 64)


def test_an_embedding_ratio_out_of_reach_is_refused_with_what_can_be_had() -> None:
    space = free_space("CCACCA", 32768)
    with pytest.raises(InfeasibleSpace, match=r"embedding_ratio = 0.9: CCACCA reaches 0\.1\d+ to 0\.5\d+"):
        scale_layout("CCACCA", space, SIXTY_MILLION, embedding_ratio=0.9)


def test_without_an_embedding_ratio_the_ffns_come_near_their_usual_width() -> None:
    scaled = scale_layout(LFM2, a_space(), SIXTY_MILLION)
    assert scaled.blocks[0].ffn.width / scaled.hidden_size == pytest.approx(3.5, rel=0.15)


def test_a_reference_is_scaled_outside_any_study() -> None:
    scaled = scale_reference(lfm2_350m(), free_space(LFM2, 65536), Budget(350_000_000))
    count = parameters(scaled.architecture)
    assert scaled.architecture.layout == LFM2
    assert count.embedding_ratio == pytest.approx(0.189, abs=0.01)


@pytest.mark.parametrize(
    ("layout", "hint"),
    [
        ("CCXC", "'X': unknown letter; use C = short_conv"),
        ("L" * 12, "add it to the space"),
        ("C" * 30, "it has 30 blocks; space.depth allows"),
        ("", "it has 0 blocks"),
    ],
)
def test_a_layout_outside_the_space_is_refused(layout, hint) -> None:
    with pytest.raises(SpaceError, match=hint):
        scale_layout(layout, a_space(), SIXTY_MILLION)


def test_a_layout_that_meets_the_budget_at_no_width_is_refused_with_the_ratios_it_needs() -> None:
    space = a_space(embedding_ratio=(0.4, 0.46))
    with pytest.raises(InfeasibleSpace, match="its 20 blocks need FFN ratios of -0"):
        scale_layout("C" * 20, space, SIXTY_MILLION)


@pytest.mark.parametrize("layout", ["CCAC", "SSSSSA", "DL", LFM2])
def test_a_layout_is_scaled_outside_any_study(layout) -> None:
    scaled = scale_layout(
        layout, free_space(layout, vocabulary=32768), Budget(30_000_000), embedding_ratio=0.3
    )
    count = parameters(scaled)
    assert scaled.layout == layout
    assert count.total == pytest.approx(30_000_000, rel=0.01)
    assert count.embedding_ratio == pytest.approx(0.3, abs=0.04)


def test_an_empty_layout_is_refused() -> None:
    with pytest.raises(SpaceError, match="write one letter per block"):
        free_space("", vocabulary=32768)


@given(st.text("CASDL", min_size=1, max_size=32), st.integers(1, 48))
def test_a_resampled_layout_keeps_every_share_within_a_block_or_so(layout, depth) -> None:
    resampled = resample(layout, depth)
    assert len(resampled) == depth
    kinds = len(set(layout))
    for code in set(layout):
        assert abs(resampled.count(code) - layout.count(code) * depth / len(layout)) < kinds


@given(st.text("CASDL", min_size=1, max_size=32))
def test_a_layout_resampled_to_its_own_depth_is_itself(layout) -> None:
    assert resample(layout, len(layout)) == layout
