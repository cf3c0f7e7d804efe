"""A device of the tests' own whose simulated numbers follow a known law, so that a profile of it can be foretold."""

from collections.abc import Mapping
from typing import Any

from serving import SimulatedWorker, a_simulated_result

from devices.outcome import BandwidthMeasured, TeamReading, outcome_to_dict
from operators.architecture import Architecture
from operators.mixer_stacks import mixers_of_width, stack_of
from service.api.schemas import ProfileWish
from service.profile_scope import ProfileScope

BANDWIDTH = 10e9
BASE_MS = 3.0
COSTS_MS = {  # of a copy: prefill, and decode at each of three contexts
    "C": (5.0, 1.0, 1.0, 1.0),
    "A": (4.0, 2.0, 8.0, 64.0),
    "S": (5.0, 1.5, 1.5, 1.5),
    "D": (10.0, 2.5, 2.5, 2.5),
    "L": (8.0, 2.0, 2.0, 2.0),
}
SCOPE = ProfileScope(width=128, prompt_tokens=32, contexts=(256, 512, 1024), shapes=("tiny",))
WISH = ProfileWish(
    width=128,
    prompt_tokens=32,
    contexts=[256, 512, 1024],
    mixers=["short_conv", "grouped_query_attention"],
    shapes=[],
)
"""Two mixers, so that a test is short."""


def a_tiny_shape() -> Architecture:
    return stack_of(mixers_of_width(128)[0], 3, 128)


class LawfulWorker(SimulatedWorker):
    """Simulated: a stack takes 3 ms and the cost of each copy; kinds of job named in `failures` fail as told."""

    def __init__(
        self, url: str, failures: Mapping[str, dict[str, Any]] | None = None, **options: Any
    ) -> None:
        super().__init__(url, **options)
        self._failures = failures or {}

    def outcome_of(self, job: Mapping[str, Any], fails: bool) -> dict[str, Any]:
        plan = job["plan"]
        if "candidate" not in plan:
            return self._failures.get("bandwidth") or a_bandwidth(plan)
        if plan["sentinel_reference"] is None:
            return self._failures.get("calibration") or a_simulated_result()
        code, copies = what_it_is(plan["candidate"])
        return self._failures.get(f"{code}{copies}") or a_lawful_result(code, copies, plan["workload"])


def what_it_is(candidate: Mapping[str, Any]) -> tuple[str, int]:
    """Tell a stack's mixer and its copies by the states that it holds."""
    states = candidate["states"]
    names = {state["input_name"].rstrip("0123456789").rstrip("_") for state in states}
    if "past_key" in names:
        rooms = {state["shape"][2] for state in states}
        return ("S" if rooms == {320} else "A"), len(states) // 2
    if "past_memory" in names:
        return ("D", len(states) // 2) if "past_conv" in names else ("L", len(states))
    return "C", len(states)


def a_lawful_result(code: str, copies: int, workload: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that nothing measured, in the shape of a measurement."""
    prefill, first, *deeper = (BASE_MS + copies * each for each in COSTS_MS[code])
    result = a_simulated_result()
    result["prefill"] = scaled(result["prefill"], prefill / 200.0)
    result["deeper"] = [
        {"context_tokens": tokens, "phase": scaled(result["decode"], milliseconds / 5.0)}
        for tokens, milliseconds in zip(workload["deeper_contexts"], deeper, strict=False)
    ]
    result["decode"] = scaled(result["decode"], first / 5.0)
    return result


def scaled(phase: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The candidate's times of a phase, so many times as long."""
    return {
        "processes": [
            {
                "blocks": [
                    {**block, "candidate_ms": [factor * ms for ms in block["candidate_ms"]]}
                    for block in process["blocks"]
                ]
            }
            for process in phase["processes"]
        ]
    }


def a_bandwidth(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Readings that nothing read: 10 GB/s at best by one thread, twice that by several."""
    size = plan["buffer_bytes"]
    teams = tuple(
        TeamReading(threads, size, tuple(1e3 * size / (BANDWIDTH * speed * slower) for slower in (1.0, 0.9, 0.8)))
        for threads, speed in ((1, 1.0), (max(2, plan["threads"]), 2.0))
    )  # fmt: skip
    return outcome_to_dict(BandwidthMeasured(teams, {"simulated": True}, 0.1))
