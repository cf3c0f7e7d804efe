"""A layout as a strip of shapes: per block a lettered square for the mixer under a bar for its FFN."""

from dataclasses import dataclass

from reports.palette import mixer_style
from reports.rows import BlockRow, TrialRow

BLOCK_WIDTH = 14
BLOCK_GAP = 1
MIXER_HEIGHT = 17
TALLEST_FFN = 26
SHORTEST_FFN = 2


@dataclass(frozen=True)
class BlockShape:
    """Where one block is drawn, in which colours, and the words behind it."""

    code: str
    fill: str
    ink: str
    x: int
    ffn_height: float
    words: str

    @property
    def ffn_y(self) -> float:
        """The upper edge of the FFN's bar, which stands on the mixer's square."""
        return TALLEST_FFN - self.ffn_height

    @property
    def middle(self) -> float:
        """Where the letter is centred."""
        return self.x + BLOCK_WIDTH / 2


@dataclass(frozen=True)
class LayoutDrawing:
    """The whole strip, from the first block on the left to the last on the right."""

    shapes: tuple[BlockShape, ...]
    words: str

    block_width: int = BLOCK_WIDTH
    mixer_y: int = TALLEST_FFN + 1
    mixer_height: int = MIXER_HEIGHT
    height: int = TALLEST_FFN + 1 + MIXER_HEIGHT

    @property
    def width(self) -> int:
        """The strip's width in pixels."""
        return max(1, len(self.shapes) * (BLOCK_WIDTH + BLOCK_GAP) - BLOCK_GAP)


def draw_layout(trial: TrialRow, widest_ffn: int) -> LayoutDrawing:
    """Draw a trial's blocks; FFN bars are in proportion to `widest_ffn`, the widest of all in the picture."""
    shapes = tuple(_shape(index, block, widest_ffn) for index, block in enumerate(trial.blocks))
    return LayoutDrawing(shapes, f"Layout {trial.layout}: {len(trial.blocks)} blocks, first on the left")


def widest_ffn(trials: tuple[TrialRow, ...]) -> int:
    """The widest FFN of all the blocks that share a picture."""
    return max((block.ffn_width for trial in trials for block in trial.blocks), default=1)


def block_runs(blocks: tuple[BlockRow, ...]) -> tuple[tuple[str, BlockRow], ...]:
    """Blocks that are alike and follow one another, as one: ("1 to 3", the block)."""
    runs: list[tuple[str, BlockRow]] = []
    first = 1
    for last, block in enumerate(blocks, start=1):
        if last == len(blocks) or blocks[last] != block:
            runs.append((str(first) if first == last else f"{first} to {last}", block))
            first = last + 1
    return tuple(runs)


def _shape(index: int, block: BlockRow, widest: int) -> BlockShape:
    style = mixer_style(block.code)
    height = max(SHORTEST_FFN, round(TALLEST_FFN * block.ffn_width / max(1, widest), 1))
    words = f"Block {index + 1}: {block.mixer}; FFN width {block.ffn_width}"
    return BlockShape(block.code, style.fill, style.ink, index * (BLOCK_WIDTH + BLOCK_GAP), height, words)
