"""What a device may be called: the same for agent.toml, the command line and the service."""

import re

LONGEST = 100
FORM = r"^[A-Za-z0-9][A-Za-z0-9 ._@:-]*$"
WORDS = (
    f"letters without accents, digits, spaces and . _ @ : -, a letter or digit first, at most {LONGEST} signs"
)


def is_name(text: str) -> bool:
    """Tell whether a device may be called so."""
    return len(text) <= LONGEST and re.fullmatch(FORM.strip("^$"), text) is not None


def plain_name(text: str, otherwise: str) -> str:
    """Make a name of a text that somebody else chose, such as a host's or a model's; `otherwise` if nothing is left."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:LONGEST] or otherwise
