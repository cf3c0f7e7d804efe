"""A passport's lines, sorted into its sections."""

from collections.abc import Mapping

SECTION_END = " · "
"""Parts a line's section from its name: ``device · processor``."""


def sections(passport: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The lines of each section by their names, in the order in which they were written."""
    found: dict[str, dict[str, str]] = {}
    for line, text in passport.items():
        section, _, name = line.rpartition(SECTION_END)
        found.setdefault(section or "passport", {})[name] = text
    return found
