"""Check what a device's agent reports before it is stored: it is input like any other."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from devices.errors import DeviceError
from devices.outcome import outcome_from_dict
from devices.untrusted_text import visible_line, visible_log, visible_values
from service.errors import BadInput

DEEPEST = 12
MOST_VALUES = 500_000
LARGEST_WHOLE = 2**63 - 1

# By the unit that a name carries; a step below a nanosecond or above an hour was not measured.
RANGES = {
    "_ms": (1e-6, 3_600_000.0),
    "_bytes": (0.0, float(2**50)),
    "seconds": (0.0, 7 * 86_400.0),
    "cosine": (-1.01, 1.01),
}
# Anything that ran took some memory, and none at all would lead every front.
LEAST_PEAK_BYTES = 1

HINT = "install the service's version on the agent's host: pip install --upgrade loopfront"


def read_result(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give an outcome as it may be stored, its texts bounded and cleaned.

    Raises BadInput, naming the place, where it is no outcome, has more or deeper values than any measurement, or a
    number that can't have been measured.
    """
    _require_bounded(given)
    try:
        json.dumps(given, allow_nan=False)
        outcome_from_dict(given)
    except (DeviceError, ValueError, TypeError) as error:
        raise BadInput(
            f"the outcome can't be read: {visible_line(str(error))}", field="outcome", hint=HINT
        ) from None
    for place, name, number in _numbers(given):
        _require_measurable(place, name, number)
    texts = {"reason": visible_line, "log": visible_log}
    return {key: texts[key](value) if key in texts else visible_values(value) for key, value in given.items()}


def unusable_result(given: Mapping[str, Any], error: BadInput) -> dict[str, Any]:
    """Give the failure that stands for a result that can't be used, with the log that came with it."""
    log = given.get("log")
    reason = f"its result can't be used: {error.field}: {error.detail}"
    return {
        "kind": "runner_fault",
        "reason": visible_line(reason),
        "log": visible_log(log if isinstance(log, str) else ""),
    }


def require_bounded_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Give a device's facts cleaned; raise ValueError where they are deeper or longer than facts are."""
    try:
        _require_bounded(facts)
        json.dumps(facts, allow_nan=False)
    except BadInput as error:
        raise ValueError(error.line) from None
    return dict(visible_values(facts))


def _require_bounded(tree: Mapping[str, Any]) -> None:
    """Walk without recursion: a tree that is too deep must not end the walk by itself."""
    left: list[tuple[Any, int]] = [(tree, 0)]
    count = 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > DEEPEST or count > MOST_VALUES:
            what = f"deeper than {DEEPEST}" if depth > DEEPEST else f"more than {MOST_VALUES} values"
            raise BadInput(f"holds values {what}", field="outcome", hint="no measurement has so many")
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise BadInput("holds a whole number of more than 64 bits", field="outcome", hint=HINT)
        if isinstance(value, dict | list):
            parts = value.values() if isinstance(value, dict) else value
            left += [(part, depth + 1) for part in parts]


def _numbers(tree: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Give place, name and value of every number but those of the passport, which is no result."""
    left: list[tuple[str, str, Any]] = [
        (f"outcome.{key}", key, value) for key, value in tree.items() if key != "passport"
    ]
    while left:
        place, name, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{place}.{key}", key, part) for key, part in value.items()]
        elif isinstance(value, list):
            left += [(f"{place}[{index}]", name, part) for index, part in enumerate(value)]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield place, name, float(value)


def _require_measurable(place: str, name: str, number: float) -> None:
    for unit, (low, high) in RANGES.items():
        least = LEAST_PEAK_BYTES if name == "peak_rss_bytes" else low
        if name.endswith(unit) and not least <= number <= high:
            raise BadInput(
                f"{number:g} can't have been measured",
                field=place,
                hint=f"it must lie between {least:g} and {high:g}",
            )
