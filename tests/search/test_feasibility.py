import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from operators.cost import parameters, state_bytes, weight_bytes
from operators.precision import Precision
from operators.registry import MIXERS
from search.errors import InfeasibleSpace
from search.feasibility import RUNTIME_BYTES, build, check, feasible_widths
from search.objective import BYTES_PER_MB, Constraint
from search.space import WIDEST, Budget, MixerChoice, SearchSpace

ALL_MIXERS = tuple(MixerChoice.of(name) for name in MIXERS)
SIXTY_MILLION = Budget(60_000_000)


def a_space(**changes) -> SearchSpace:
    fields = {
        "vocabulary": 32768,
        "embedding_ratio": (0.14, 0.46),
        "depth": (8, 20),
        "mixers": ALL_MIXERS,
    }
    return SearchSpace(**{**fields, **changes})


def the_refusal(
    space: SearchSpace, budget: Budget = SIXTY_MILLION, limits: tuple[str, ...] = ()
) -> InfeasibleSpace:
    constraints = [Constraint.parse(text) for text in limits]
    with pytest.raises(InfeasibleSpace) as refusal:
        check(space, budget, constraints, context_tokens=512)
    return refusal.value


@st.composite
def spaces_and_budgets(draw) -> tuple[SearchSpace, Budget]:
    """Spaces around a width that can be, so that most of them are feasible."""
    names = draw(st.lists(st.sampled_from(sorted(MIXERS)), min_size=1, max_size=5, unique=True))
    head_sizes = draw(st.sampled_from([[64], [32, 64], [32]]))
    vocabulary = draw(st.sampled_from([256, 4096, 32768, 65536]))
    ratio = draw(st.floats(0.1, 0.6))
    width = 64 * draw(st.integers(2, 12))
    space = SearchSpace(
        vocabulary=vocabulary,
        embedding_ratio=(ratio * draw(st.floats(0.4, 0.9)), min(1.0, ratio * draw(st.floats(1.1, 2.0)))),
        depth=(draw(st.integers(1, 6)), draw(st.integers(6, 40))),
        mixers=tuple(MixerChoice.of(name, _options(name, head_sizes)) for name in names),
        ffn_ratio=(draw(st.floats(0.25, 1.0)), draw(st.floats(6.0, 12.0))),
        precision=Precision(4, draw(st.sampled_from([32, 64, 128]))),
    )
    return space, Budget(int(vocabulary * width / ratio), draw(st.sampled_from([0.005, 0.01])))


def _options(name: str, head_sizes: list[int]) -> dict[str, list[int]]:
    return {} if name == "short_conv" else {"head_size": head_sizes}


@given(spaces_and_budgets(), st.data())
def test_any_layout_at_any_feasible_width_and_depth_meets_the_budget(case, data) -> None:
    space, budget = case
    try:
        widths = feasible_widths(space, budget)
    except InfeasibleSpace as refusal:
        assert refusal.place.split(".")[0] in {"space", "budget"}
        assume(False)
    width = data.draw(st.sampled_from(widths))
    depth = data.draw(st.sampled_from(width.depths))
    forms = [mixer for choice in space.mixers for mixer in choice.mixers(width.hidden_size)]
    mixers = data.draw(st.lists(st.sampled_from(forms), min_size=depth, max_size=depth))
    architecture = build(width.hidden_size, mixers, space, budget)

    count = parameters(architecture)
    ffn_widths = [block.ffn.width for block in architecture.blocks]
    assert abs(count.total - budget.parameters) <= budget.tolerance * budget.parameters
    assert space.embedding_ratio[0] <= count.embedding_ratio <= space.embedding_ratio[1]
    assert space.depth[0] <= depth <= space.depth[1]
    assert architecture.hidden_size % 64 == 0
    assert all(size % space.precision.block_size == 0 for size in (architecture.hidden_size, *ffn_widths))
    assert all(space.ffn_ratio[0] <= w / width.hidden_size <= space.ffn_ratio[1] for w in ffn_widths)
    assert ffn_widths == sorted(ffn_widths, reverse=True)
    assert ffn_widths[0] - ffn_widths[-1] in {0, space.ffn_step}


def test_ffns_are_equally_wide_where_the_tolerance_allows() -> None:
    mixers = [ALL_MIXERS[0].mixers(512)[0]] * 16
    loose = build(512, mixers, a_space(), Budget(60_000_000, 0.01))
    assert len({block.ffn.width for block in loose.blocks}) == 1


def test_where_equal_ffns_miss_the_tolerance_the_first_blocks_are_one_step_wider() -> None:
    mixers = [ALL_MIXERS[0].mixers(512)[0]] * 16
    strict = build(512, mixers, a_space(), Budget(60_000_000, 0.0005))
    widths = [block.ffn.width for block in strict.blocks]
    assert widths[0] == widths[-1] + 32
    assert abs(parameters(strict).total - 60_000_000) <= 30_000


def test_a_layout_that_does_not_fit_is_refused_with_the_ratio_that_it_would_need() -> None:
    mixers = [ALL_MIXERS[0].mixers(768)[0]] * 30
    with pytest.raises(InfeasibleSpace, match="30 blocks of hidden size 768 would need an FFN ratio of -"):
        build(768, mixers, a_space(), SIXTY_MILLION)


def test_a_feasible_study_passes_the_check() -> None:
    limit = Constraint.parse("peak_rss_mb@laptop <= 160")
    widths = check(a_space(), SIXTY_MILLION, [limit], context_tokens=512)
    assert [width.hidden_size for width in widths] == [384, 448, 512, 576, 640, 704, 768]


def test_an_embedding_ratio_between_two_widths_is_refused_with_the_nearest_that_is_possible() -> None:
    refusal = the_refusal(a_space(embedding_ratio=(0.22, 0.23)))
    assert (refusal.place, refusal.value) == ("space.embedding_ratio", [0.22, 0.23])
    assert "the nearest is width 384: ask for a range that holds [0.207, 0.212]" in refusal.way_out
    check(a_space(embedding_ratio=(0.207, 0.212)), SIXTY_MILLION)


def test_layers_that_are_too_many_are_refused_with_the_depths_that_are_possible() -> None:
    refusal = the_refusal(a_space(depth=(100, 120)))
    assert (refusal.place, refusal.value) == ("space.depth", [100, 120])
    assert "FFN ratios [0.75, 6.0] allow 3 to 64 blocks" in refusal.way_out


def test_ffn_ratios_that_no_depth_meets_are_refused() -> None:
    refusal = the_refusal(a_space(ffn_ratio=(60.0, 64.0), embedding_ratio=(0.3, 0.46)))
    assert refusal.place == "space.ffn_ratio"
    assert "no depth meets 60000000 parameters at widths 576 to 832" in refusal.way_out


def test_a_vocabulary_larger_than_the_budget_is_refused() -> None:
    refusal = the_refusal(a_space(vocabulary=2_000_000))
    assert (refusal.place, refusal.value) == ("budget.parameters", 60_000_000)
    assert "embeddings of width 64 alone are 128000000 parameters" in refusal.way_out


def test_a_tolerance_finer_than_a_step_of_ffn_width_is_refused_with_one_that_is_not() -> None:
    refusal = the_refusal(a_space(embedding_ratio=(0.4, 0.46)), Budget(60_000_000, 0.0001))
    assert (refusal.place, refusal.value) == ("budget.tolerance", 0.0001)
    assert "use 0.00062 or more" in refusal.way_out
    check(a_space(embedding_ratio=(0.4, 0.46)), Budget(60_000_000, 0.00062))


def test_a_memory_limit_below_the_smallest_candidate_is_refused_with_what_it_needs() -> None:
    refusal = the_refusal(a_space(), limits=("recall_score >= 0.5", "peak_rss_mb@laptop <= 65"))
    assert (refusal.place, refusal.value) == ("constraints", "'peak_rss_mb@laptop <= 65'")
    assert "needs more than 67.1 MB: its weights, its state and the runtime itself" in refusal.way_out


def test_a_loss_limit_below_what_the_budget_allows_is_refused_with_the_least_loss() -> None:
    refusal = the_refusal(a_space(), limits=("estimated_relative_loss <= 0.1",))
    assert (refusal.place, refusal.value) == ("constraints", "'estimated_relative_loss <= 0.1'")
    least = float(refusal.way_out.split("less than ")[1].split(";")[0])
    check(a_space(), SIXTY_MILLION, [Constraint.parse(f"estimated_relative_loss <= {least + 1e-4}")])


def test_constraints_that_no_number_meets_together_are_refused() -> None:
    refusal = the_refusal(a_space(), limits=("ttft_ms_p50@laptop <= 20", "ttft_ms_p50@laptop >= 30"))
    assert (refusal.place, refusal.value) == ("constraints", "'ttft_ms_p50@laptop >= 30'")
    other_target = ("ttft_ms_p50@laptop <= 20", "ttft_ms_p50@phone >= 30")
    check(a_space(), SIXTY_MILLION, [Constraint.parse(text) for text in other_target])


def test_widths_beyond_any_small_model_are_not_walked_through() -> None:
    widths = feasible_widths(
        a_space(vocabulary=1, embedding_ratio=(0.0, 1.0), ffn_ratio=(1 / 64, 64.0)),
        Budget(4_000_000_000, 0.05),
    )
    assert widths[-1].hidden_size <= WIDEST


def test_the_refused_memory_is_never_more_than_a_candidate_holds() -> None:
    space = a_space()
    refusal = the_refusal(space, limits=("peak_rss_mb@laptop <= 1",))
    claimed = float(refusal.way_out.split(" MB")[0].rsplit(" ", 1)[1]) * BYTES_PER_MB
    for width in feasible_widths(space, SIXTY_MILLION):
        for choice in ALL_MIXERS:
            mixers = [choice.mixers(width.hidden_size)[0]] * width.depths[0]
            candidate = build(width.hidden_size, mixers, space, SIXTY_MILLION)
            held = weight_bytes(candidate, space.precision) + state_bytes(candidate, 512)
            assert claimed <= held + RUNTIME_BYTES


def test_head_sizes_that_divide_no_width_are_refused() -> None:
    mixers = (MixerChoice.of("gated_delta_net", {"head_size": 1024}),)
    refusal = the_refusal(a_space(mixers=mixers))
    assert refusal.place == "space.mixers.gated_delta_net"
    assert "the embedding ratio allows 320, 384, 448" in refusal.way_out
