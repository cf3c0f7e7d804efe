"""One colour, one name and one letter per mixer, the same in the terminal, on paper and on the page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MixerStyle:
    """How a mixer is shown: its name, its fill, and the ink that reads on it (contrast at least 4.5)."""

    code: str
    name: str
    fill: str
    ink: str


# Okabe and Ito's palette: told apart with every common form of colour blindness; the letters serve the rest.
MIXER_STYLES: dict[str, MixerStyle] = {
    "C": MixerStyle("C", "short convolution", "#0072b2", "#ffffff"),
    "A": MixerStyle("A", "grouped-query attention", "#d55e00", "#101317"),
    "S": MixerStyle("S", "sliding-window attention", "#e69f00", "#101317"),
    "D": MixerStyle("D", "gated delta net", "#009e73", "#101317"),
    "L": MixerStyle("L", "linear attention", "#cc79a7", "#101317"),
}
UNKNOWN_MIXER = MixerStyle("?", "unknown mixer", "#8a8f98", "#101317")


def mixer_style(code: str) -> MixerStyle:
    """The style of a mixer's letter; a letter that is not known yet is drawn in grey, not refused."""
    return MIXER_STYLES.get(code, UNKNOWN_MIXER)
