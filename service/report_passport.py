"""A measurement's passport in words: section by section, with units, and what all processes share said once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.passport import SECTION_END

SCALES = {
    "_bytes": (1e-6, "MB"),
    "_mhz": (1.0, "MHz"),
    "_ms": (1.0, "ms"),
    "_s": (1.0, "s"),
    "_c": (1.0, "°C"),
    "_percent": (1.0, "%"),
    "seconds": (1.0, "s"),
}
"""A name's last word tells its unit."""
SMALLEST_MB = 100_000


def passport_lines(passport: Mapping[str, Any]) -> dict[str, str]:
    """List a passport's leaves by ``section · name``."""
    lines: dict[str, str] = {}
    for key, value in passport.items():
        section = key.replace("_", " ") if isinstance(value, Mapping | list) else "session"
        for name, leaf in _leaves(value, "" if section != "session" else key):
            lines[f"{section}{SECTION_END}{_words(name) or section}"] = leaf
    return lines


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name} {key}".strip())
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        yield from _alike(value, name)
    else:
        yield name, _text(name, value)


def _alike(items: Sequence[Mapping[str, Any]], name: str) -> Iterator[tuple[str, str]]:
    """List the leaves of several like things, each with all its values in their order, or the one they share."""
    listed = [dict(_leaves(item, name)) for item in items]
    for leaf in dict.fromkeys(key for each in listed for key in each):
        texts = [each.get(leaf, "not known") for each in listed]
        yield leaf, texts[0] if len(set(texts)) == 1 else " | ".join(texts)


def _words(name: str) -> str:
    """A dotted name without its unit, which stands beside the value."""
    unit = _unit(name)
    bare = name if unit is None or unit == "seconds" else name.removesuffix(unit)
    return bare.replace("_", " ").replace("rss", "RSS")


def _text(name: str, value: object) -> str:
    unit = _unit(name)
    given: list[Any] = value if isinstance(value, list) else [value]
    numbers = [each for each in given if _is_number(each)]
    if unit is None or not numbers:
        return plain_text(value)
    scale, word = SCALES[unit] if unit != "_bytes" or max(numbers) >= SMALLEST_MB else (1.0, "bytes")
    return ", ".join(plain_text(float(round(number * scale, 3))) for number in numbers) + f" {word}"


def _unit(name: str) -> str | None:
    return next((suffix for suffix in SCALES if name.endswith(suffix)), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain_text(value: object) -> str:
    """Write a value for people."""
    if value is None or value == []:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain_text(item) for item in value)
    return str(value)
