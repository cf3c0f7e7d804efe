"""Show an architecture in a terminal or as JSON: its blocks, its counts, its costs."""

import math
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from operators.architecture import Block
from operators.cost import (
    decode_bytes,
    flops_per_token,
    parameters,
    prefill_bytes,
    prefill_flops,
    state_bytes,
    weight_bytes,
)
from operators.precision import Precision
from reports.terminal_text import layout_text
from search.observation import Observation
from search.quality.recall import tabled_score
from search.quality.reduction import reduce_to_four
from service.known_layouts import NamedArchitecture
from service.quality_scores import recall_with_interval, relative_loss
from service.report_trials import mixer_text

CONTEXTS = {"1k": 1024, "4k": 4096, "32k": 32768}
PROMPT_TOKENS = 512
PRECISION = Precision()
BARS = "▁▂▃▄▅▆▇█"


def architecture_json(found: NamedArchitecture) -> dict[str, Any]:
    """Write an architecture and its counts as plain JSON values."""
    architecture = found.architecture
    return {
        "name": found.label,
        "layout": architecture.layout,
        "digest": architecture.digest,
        "adaptations": list(found.adaptations),
        "counts": dict(_counts(found)),
        "costs": _costs(found),
        "architecture": architecture.to_dict(),
    }


def architecture_view(found: NamedArchitecture) -> Group:
    """Draw the layout, then tell each kind of block, the counts, and the costs by context."""
    parts: list[RenderableType] = [
        _drawing(found),
        "",
        _kinds(found),
        "",
        _counts_table(found),
        "",
        _costs_table(found),
    ]
    if found.adaptations:
        parts += [
            "",
            Text("Not as in the original", style="bold"),
            *(f"  {each}" for each in found.adaptations),
        ]
    return Group(*parts)


def _drawing(found: NamedArchitecture) -> Table:
    """One letter per block on its mixer's colour; under it, where FFNs differ, a bar as high as its FFN is wide."""
    blocks = found.architecture.blocks
    widest = max(block.ffn.width for block in blocks)
    bars = "".join(BARS[math.ceil(len(BARS) * block.ffn.width / widest) - 1] for block in blocks)
    drawing = Table.grid(padding=(0, 2))
    drawing.add_row(Text(found.label, style="bold"), layout_text(found.architecture.layout))
    if len(set(bars)) > 1:
        drawing.add_row(Text("FFN widths", style="dim"), Text(bars, style="dim"))
    return drawing


def _kinds(found: NamedArchitecture) -> Table:
    """One line per kind of block, in the order in which they first appear."""
    kinds: dict[Block, list[int]] = {}
    for number, block in enumerate(found.architecture.blocks, start=1):
        kinds.setdefault(block, []).append(number)
    table = Table("", "mixer", "FFN width", "M a block", "blocks", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[2].justify = table.columns[3].justify = "right"
    for block, numbers in kinds.items():
        alone = parameters(replace(found.architecture, blocks=(block,)))
        own = alone.mixers + alone.ffns
        name, options = mixer_text(block.mixer).split(": ")
        table.add_row(
            layout_text(block.mixer.code),
            Text.assemble(name, "\n", (options, "dim")),
            str(block.ffn.width),
            f"{own / 1e6:.2f}",
            f"{len(numbers)}: {_ranges(numbers)}",
        )
    return table


def _ranges(numbers: list[int]) -> str:
    """Write rising numbers in short, such as 1-3, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _counts_table(found: NamedArchitecture) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in _counts(found):
        table.add_row(Text(name, style="dim"), text)
    return table


def _costs_table(found: NamedArchitecture) -> Table:
    costs = _costs(found)
    table = Table("at a context of", *CONTEXTS, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    state, operations, moved = (
        costs[name].values() for name in ("state_bytes", "decode_flops", "decode_bytes")
    )
    table.add_row("state (fp32), MB", *(f"{value / 1e6:.2f}" for value in state))
    table.add_row("operations per decoded token, MFLOP", *(f"{value / 1e6:.0f}" for value in operations))
    table.add_row("bytes per decoded token, MB", *(f"{value / 1e6:.1f}" for value in moved))
    return table


def _with_interval(found: Observation) -> str:
    return f"{found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


def _counts(found: NamedArchitecture) -> list[tuple[str, str]]:
    architecture = found.architecture
    count = parameters(architecture)
    recall = tabled_score(architecture.layout)
    return [
        ("parameters", f"{count.total / 1e6:.2f} M ({count.total})"),
        ("of them", _parts(found)),
        ("effective parameters", f"{count.effective / 1e6:.2f} M"),
        ("embedding ratio", f"{count.embedding_ratio:.3f}"),
        ("hidden size", str(architecture.hidden_size)),
        ("vocabulary", str(architecture.vocab_size)),
        (f"{PRECISION.label} weights", f"{weight_bytes(architecture, PRECISION) / 1e6:.1f} MB"),
        (
            f"prefill of {PROMPT_TOKENS} tokens",
            f"{prefill_flops(architecture, PROMPT_TOKENS) / 1e9:.1f} GFLOP, "
            f"{prefill_bytes(architecture, PRECISION, PROMPT_TOKENS) / 1e6:.0f} MB",
        ),
        ("recall pattern", reduce_to_four(architecture.layout)),
        ("recall score", _with_interval(recall_with_interval(recall)) if recall else "not in the table"),
        ("estimated relative loss", f"{relative_loss(architecture).value:.4f} nats"),
    ]


def _parts(found: NamedArchitecture) -> str:
    count = parameters(found.architecture)
    parts = {"embeddings": count.embedding, "mixers": count.mixers, "FFNs": count.ffns, "norms": count.norms}
    return ", ".join(f"{name} {value / 1e6:.2f} M" for name, value in parts.items())


def _costs(found: NamedArchitecture) -> dict[str, Any]:
    """Closed-form costs in bytes and operations, by context."""
    architecture = found.architecture
    return {
        "state_bytes": {name: state_bytes(architecture, tokens) for name, tokens in CONTEXTS.items()},
        "decode_flops": {name: flops_per_token(architecture, tokens) for name, tokens in CONTEXTS.items()},
        "decode_bytes": {
            name: decode_bytes(architecture, PRECISION, tokens) for name, tokens in CONTEXTS.items()
        },
        "prefill_flops": prefill_flops(architecture, PROMPT_TOKENS),
        "prefill_bytes": prefill_bytes(architecture, PRECISION, PROMPT_TOKENS),
        "prompt_tokens": PROMPT_TOKENS,
        "precision": PRECISION.label,
    }
