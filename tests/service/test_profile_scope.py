"""What a profile consists of on devices of different memory."""

import pytest

from devices.bandwidth_plan import BandwidthPlan
from operators.cost import state_bytes
from operators.mixer_stacks import mixers_of_width, stack_of
from service.profile_scope import (
    SHARE_OF_MEMORY,
    ProfileScope,
    copies_for,
    entries_of,
    memory_bytes,
    scope_from_dict,
    stack_bytes,
)
from service.store.profiles import BANDWIDTH, MIXER, SHAPE

SCOPE = ProfileScope()
LAPTOP = {"memory_bytes": 16_000_000_000, "cores": 8}
ATTENTION = mixers_of_width(1024)[1]


def test_a_profile_is_the_bandwidth_two_stacks_of_each_mixer_and_the_shapes_smallest_first() -> None:
    drafts = [draft for draft, _ in entries_of(SCOPE, LAPTOP)]
    assert [draft.kind for draft in drafts] == [BANDWIDTH, *[MIXER] * 10, *[SHAPE] * 4]
    assert [draft.name for draft in drafts[-4:]] == [
        "gemma-3-270m",
        "lfm2-350m",
        "qwen3-0.6b",
        "qwen3.5-0.8b",
    ]
    assert [(draft.name, draft.copies) for draft in drafts[1:5]] == [
        ("short_conv", 2), ("short_conv", 6), ("grouped_query_attention", 2), ("grouped_query_attention", 6)
    ]  # fmt: skip
    assert {tuple(draft.conditions["workload"]["context_tokens"]) for draft in drafts[1:11]} == {
        (512, 4096, 32768)
    }
    assert {draft.conditions["workload"]["context_tokens"] for draft in drafts[11:]} == {512}
    assert all(draft.effort > 0 for draft in drafts)


def test_the_same_stack_stands_behind_the_same_entry() -> None:
    for draft, architecture in entries_of(SCOPE, LAPTOP):
        assert (architecture.digest if architecture else None) == draft.candidate_digest
        if draft.kind == MIXER:
            assert architecture is not None
            assert {block.mixer.name for block in architecture.blocks} == {draft.name}
            assert len(architecture.blocks) == draft.copies


@pytest.mark.parametrize(("memory", "copies"), [(16e9, (2, 6)), (8e9, (2, 6)), (3e9, (1, 3)), (1e9, (1, 2))])
def test_a_device_of_little_memory_gets_fewer_copies_of_full_attention(
    memory: float, copies: tuple[int, int]
) -> None:
    facts = {"memory_bytes": int(memory)}
    assert copies_for(ATTENTION, SCOPE, facts) == copies
    fits = stack_bytes(ATTENTION, copies[1], SCOPE) <= SHARE_OF_MEMORY * memory
    assert fits or copies == (1, 2), "the least is tried all the same: the device says what becomes of it"


def test_a_stack_is_estimated_to_hold_its_whole_cache() -> None:
    cache = state_bytes(stack_of(ATTENTION, 6, 1024), 32768 + 64)
    assert cache > 800_000_000
    assert stack_bytes(ATTENTION, 6, SCOPE) > cache


def test_memory_is_the_least_that_the_device_names() -> None:
    assert memory_bytes({"memory_bytes": 8, "memory_limit_bytes": 5}) == 5
    assert memory_bytes({"memory_bytes": 8, "memory_limit_bytes": None}) == 8
    assert memory_bytes({}) == 2_000_000_000


@pytest.mark.parametrize(
    ("facts", "threads", "expected"),
    [
        (LAPTOP, 1, (512 << 20, 8)),
        (LAPTOP, 4, (512 << 20, 4)),
        ({"memory_bytes": 3_000_000_000, "cores": 8}, 1, (178 << 20, 8)),
        ({"memory_bytes": 500_000_000}, 1, (64 << 20, 1)),
    ],
)
def test_the_buffer_is_larger_than_caches_and_a_small_part_of_the_memory(
    facts: dict[str, int], threads: int, expected: tuple[int, int]
) -> None:
    draft, _ = entries_of(ProfileScope(threads=threads), facts)[0]
    plan = BandwidthPlan(**draft.conditions)
    assert (plan.buffer_bytes, plan.threads) == expected


def test_a_scope_survives_its_row() -> None:
    scope = ProfileScope(256, 64, (256, 512), ("short_conv",), ("lfm2-350m",), 2)
    assert scope_from_dict({**scope.to_dict(), "runtime": {}}) == scope
