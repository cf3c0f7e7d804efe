"""Text that a device or an agent sent, made safe to store and to show: bounded, and without hidden characters."""

import re

LONGEST_LINE = 4_000
LONGEST_LOG = 40_000

# What moves a terminal's cursor, turns text around or can't be stored: all controls but tab and line feed, the marks
# of direction, line and paragraph separators, and halves of surrogate pairs.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible_line(text: str) -> str:
    """Give one line of at most 4 000 characters, hidden characters written as their code."""
    return visible(re.sub(r"\s*\n\s*", " ", text.strip()), LONGEST_LINE)


def visible_log(text: str) -> str:
    """Give several lines of at most about 40 000 characters, their middle left out where there are more."""
    return visible(text, LONGEST_LOG)


def visible(text: str, longest: int) -> str:
    """Write hidden characters as their code, such as ``\\x1b``; the beginning and the end of long text remain."""
    shown = _HIDDEN.sub(_code, text.replace("\r\n", "\n"))
    if len(shown) <= longest:
        return shown
    note = f"\n[{len(shown) - longest} characters left out]\n" if longest >= LONGEST_LOG else " [...] "
    half = (longest - len(note)) // 2
    return f"{shown[:half]}{note}{shown[-half:]}"


def _code(match: re.Match[str]) -> str:
    number = ord(match.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
