"""A decode step that beats the memory is flagged."""

from operators.cost import decode_bytes
from operators.precision import Precision
from search.observation import Observation
from service.measurement_plans import Conditions, Workload
from service.plausibility import flags
from service.sentinel import sentinel

CONDITIONS = Conditions(Workload(256, 512, 64), Precision(4, 32))
CEILING = 10e9


def flagged(times_the_ceiling: float) -> tuple[str, ...]:
    moved = decode_bytes(sentinel(), CONDITIONS.precision, 512)
    time = Observation.exact(1e3 * moved / (times_the_ceiling * CEILING))
    return flags(sentinel(), CONDITIONS, {"tpot_ms_p50@phone": time}, {"phone": CEILING, "laptop": CEILING})


def test_a_step_may_be_as_fast_as_the_memory_and_somewhat_faster() -> None:
    assert flagged(0.4) == flagged(1.9) == ()


def test_a_step_that_is_more_than_twice_as_fast_as_the_memory_is_flagged_with_both_numbers() -> None:
    (told,) = flagged(2.5)
    assert "on phone: decode moves 25.0 GB/s, the memory about 10.0" in told
