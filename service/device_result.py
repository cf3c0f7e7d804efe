"""Check what a device's agent reports before it is stored: it is input like any other."""

import functools
import math
from collections.abc import Mapping
from typing import Any

from devices.errors import DeviceError
from devices.outcome import outcome_from_dict
from devices.untrusted_text import visible_line, visible_log
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
UNMEASURED = frozenset({"passport"})
"""What is no result of a measurement."""

ANY = (-math.inf, math.inf)
# Anything that ran took some memory, and none at all would lead every front.
LEAST_PEAK_BYTES = 1

HINT = "install the service's version on the agent's host: pip install --upgrade loopfront"


def read_result(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give an outcome as it may be stored, its texts bounded and cleaned.

    Raises BadInput, naming the place, where it is no outcome, has more or deeper values than any measurement, or a
    number that can't have been measured.
    """
    cleaned: dict[str, Any] = _Cleaning("outcome", UNMEASURED).of(given)
    try:
        outcome_from_dict(given)
    except (DeviceError, ValueError, TypeError) as error:
        raise BadInput(
            f"the outcome can't be read: {visible_line(str(error))}", field="outcome", hint=HINT
        ) from None
    texts = {"reason": visible_line, "log": visible_log}
    return cleaned | {key: texts[key](given[key]) for key in texts if key in given}


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
        cleaned: dict[str, Any] = _Cleaning("facts", frozenset(facts)).of(facts)
    except BadInput as error:
        raise ValueError(error.line) from None
    return cleaned


class _Unfit(Exception):
    """What is wrong; its place grows on the way up, so that what is right costs no words."""

    def __init__(self, words: str, hint: str, place: str = "") -> None:
        super().__init__(words)
        self.words, self.hint, self.place = words, hint, place

    def within(self, step: str) -> "_Unfit":
        return _Unfit(self.words, self.hint, step + self.place)


class _TooMuch(Exception):
    """There are more or deeper values than any measurement has."""


class _Cleaning:
    """One walk through a tree of JSON values that bounds it, cleans its texts and looks at its numbers."""

    def __init__(self, root: str, unmeasured: frozenset[str]) -> None:
        self._root, self._unmeasured = root, unmeasured
        self._count = 0

    def of(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Give the tree cleaned; numbers under `unmeasured` keys may be any."""
        cleaned = {}
        try:
            for key, part in tree.items():
                name = "" if key in self._unmeasured else key
                try:
                    cleaned[_visible_key(key)] = self._clean(part, name, 1)
                except _Unfit as error:
                    raise error.within(f".{key}") from None
        except _Unfit as error:
            raise BadInput(error.words, field=self._root + error.place, hint=error.hint) from None
        except _TooMuch as error:
            raise BadInput(
                f"holds values {error}", field=self._root, hint="no measurement has so many"
            ) from None
        return cleaned

    def _clean(self, value: Any, name: str, depth: int) -> Any:
        """Clean a value; `name` is that of the nearest key, "" where numbers may be any."""
        self._count += 1
        if depth > DEEPEST or self._count > MOST_VALUES:
            raise _TooMuch(f"deeper than {DEEPEST}" if depth > DEEPEST else f"more than {MOST_VALUES} values")
        if isinstance(value, list):
            return self._clean_list(value, name, depth)
        if isinstance(value, dict):
            cleaned = {}
            for key, part in value.items():
                try:
                    cleaned[_visible_key(key)] = self._clean(part, name and key, depth + 1)
                except _Unfit as error:
                    raise error.within(f".{key}") from None
            return cleaned
        if isinstance(value, str):
            return visible_log(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            _require_number(value)
            _require_measurable(name, value)
        return value

    def _clean_list(self, values: list[Any], name: str, depth: int) -> list[Any]:
        # Samples are many: where the least, the largest and the sum of them are sound, each one is.
        fits = depth < DEEPEST and self._count + len(values) <= MOST_VALUES
        if fits and values and set(map(type, values)) == {float} and math.isfinite(sum(values)):
            low, high = range_of(name)
            if low <= min(values) and max(values) <= high:
                self._count += len(values)
                return values
        cleaned: list[Any] = []
        try:
            for part in values:
                cleaned.append(self._clean(part, name, depth + 1))
        except _Unfit as error:
            raise error.within(f"[{len(cleaned)}]") from None
        return cleaned


def _require_number(number: float) -> None:
    if isinstance(number, int) and abs(number) > LARGEST_WHOLE:
        raise _Unfit("holds a whole number of more than 64 bits", HINT)
    if not math.isfinite(number):
        raise _Unfit(f"{number} is no number", HINT)


def _require_measurable(name: str, number: float) -> None:
    low, high = range_of(name)
    if not low <= number <= high:
        raise _Unfit(f"{number:g} can't have been measured", f"it must lie between {low:g} and {high:g}")


@functools.lru_cache(maxsize=256)
def range_of(name: str) -> tuple[float, float]:
    """Give the least and the largest number that can stand under a key."""
    if name == "peak_rss_bytes":
        return LEAST_PEAK_BYTES, RANGES["_bytes"][1]
    return next((span for unit, span in RANGES.items() if name.endswith(unit)), ANY)


@functools.lru_cache(maxsize=1024)
def _visible_key(key: str) -> str:
    return key if key.isascii() and key.isidentifier() else visible_line(key)
