import pytest
import torch

from search.errors import SpaceError
from search.quality.recall import pooled_deviation, tabled_score
from search.quality.recall_agreement import longer_agreement, seed_agreement
from search.quality.recall_table import TABLE_FILE, all_patterns, longer_runs, planned_runs, spread_patterns
from search.quality.recall_tasks import (
    IGNORE,
    TASKS,
    TOKENS,
    VALUE_START,
    VALUES,
    VOCABULARY,
    draw,
    fixed_memory,
)
from search.quality.recall_training import train_pattern
from search.quality.reduction import reduce_to_four
from search.quality.relative_loss import estimated_relative_loss
from search.quality.shipped_scores import shipped_scores


@pytest.mark.parametrize(
    ("layout", "pattern"),
    [
        ("CCACCACCACACACAC", "CACA"),
        ("SSSSSASSSSSASSSSSA", "SSAS"),
        ("DDDA" * 6, "DDAD"),
        ("CCCCCCCCCCCCA", "CCCA"),
        ("A" * 28, "AAAA"),
        ("CDLS", "CDLS"),
        ("C", "CCCC"),
    ],
)
def test_a_layout_reduces_to_four_blocks(layout: str, pattern: str) -> None:
    assert reduce_to_four(layout) == pattern


def test_full_attention_keeps_a_place_however_rare() -> None:
    assert "A" in reduce_to_four("C" * 30 + "A")


def test_an_empty_layout_is_refused() -> None:
    with pytest.raises(SpaceError, match="at least one block"):
        reduce_to_four("")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_asks_for_values_and_stays_in_the_vocabulary(task: str) -> None:
    generator = torch.Generator().manual_seed(0)
    ids, targets = draw(task, 16, fixed_memory(generator), generator)
    assert ids.shape == targets.shape == (16, TOKENS)
    assert ids.min() >= 0
    assert ids.max() < VOCABULARY
    asked = targets[targets != IGNORE]
    assert len(asked) > 16
    assert asked.min() >= VALUE_START
    assert asked.max() < VALUE_START + VALUES


def test_recall_targets_can_be_answered_from_the_context() -> None:
    generator = torch.Generator().manual_seed(1)
    ids, targets = draw("in_context_recall", 8, fixed_memory(generator), generator)
    for row in range(8):
        known: dict[int, int] = {}
        for t in range(1, TOKENS - 1, 2):
            key, value = int(ids[row, t]), int(ids[row, t + 1])
            assert int(targets[row, t]) == known.get(key, IGNORE)
            known[key] = value


def test_the_table_plan_covers_all_patterns_once_and_forty_of_them_thrice() -> None:
    assert len(all_patterns()) == 625
    assert len(spread_patterns()) == 40
    assert len(set(planned_runs())) == 625 + 80


def test_tabled_scores_show_the_known_findings() -> None:
    table = shipped_scores(TABLE_FILE)
    assert table["CCCC"][0] < 0.5
    assert table["CACA"][0] > 0.8


@pytest.mark.slow
def test_a_retrained_entry_repeats_the_shipped_score() -> None:
    pattern = "CCCC"
    shipped = shipped_scores(TABLE_FILE)[pattern][0]
    assert train_pattern(pattern, seed=0).score == pytest.approx(shipped, abs=4 * pooled_deviation())


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["AAAA", "CACA", "DDDD", "LLLL"])
def test_more_retrained_entries_repeat_the_shipped_scores(pattern: str) -> None:
    assert train_pattern(pattern, seed=0).score == pytest.approx(
        shipped_scores(TABLE_FILE)[pattern][0], abs=4 * pooled_deviation()
    )


def test_training_the_same_pattern_twice_gives_the_same_score() -> None:
    from search.quality.recall_training import Recipe

    short = Recipe(steps=5, test_sequences_per_task=4)
    assert train_pattern("CDLA", 3, short) == train_pattern("CDLA", 3, short)


def test_a_tabled_layout_tells_pattern_and_source() -> None:
    score = tabled_score("C" * 12)
    assert score is not None
    assert (score.pattern, score.source) == ("CCCC", "table")


def test_a_larger_body_is_estimated_better_and_a_larger_vocabulary_has_a_limit() -> None:
    small, large = (estimated_relative_loss(body, 32768, 512).loss for body in (20_000_000, 40_000_000))
    assert large < small
    beyond, far_beyond = (estimated_relative_loss(20_000_000, 262144, width).loss for width in (640, 1280))
    assert beyond == far_beyond


def test_the_band_of_the_estimate_holds_the_estimate() -> None:
    estimate = estimated_relative_loss(45_000_000, 32768, 448)
    assert estimate.low <= estimate.loss <= estimate.high


def test_most_patterns_repeat_between_seeds_and_keep_their_rank_when_trained_longer() -> None:
    seeds, longer = seed_agreement(), longer_agreement()
    assert seeds.patterns == len(spread_patterns())
    assert seeds.alike > 0.8 * seeds.patterns
    assert longer.patterns == len(longer_runs())
    assert longer.kendall_tau > 0.7
