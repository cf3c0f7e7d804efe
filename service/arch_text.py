"""Show an architecture in a terminal or as JSON: its blocks, its counts, its costs."""

from typing import Any

from rich.table import Table

from operators.cost import parameters, state_bytes, weight_bytes
from operators.precision import Precision
from search.observation import Observation
from search.quality.recall import tabled_score
from search.quality.reduction import reduce_to_four
from service.known_layouts import NamedArchitecture
from service.quality_scores import recall_with_interval, relative_loss
from service.report_trials import mixer_text

CONTEXT_TOKENS = 512


def architecture_json(found: NamedArchitecture) -> dict[str, Any]:
    """Write an architecture and its counts as plain JSON values."""
    architecture = found.architecture
    return {
        "name": found.label,
        "layout": architecture.layout,
        "digest": architecture.digest,
        "adaptations": list(found.adaptations),
        "counts": dict(_counts(found)),
        "architecture": architecture.to_dict(),
    }


def architecture_table(found: NamedArchitecture) -> Table:
    """Show one line per run of equal blocks, the counts as caption."""
    table = Table("blocks", "mixer", "FFN width", title=f"{found.label}: {found.architecture.layout}")
    for first, last, mixer, width in _runs(found):
        table.add_row(f"{first}" if first == last else f"{first}-{last}", mixer, str(width))
    lines = [f"{name}: {text}" for name, text in _counts(found)]
    table.caption = "\n".join([*lines, *found.adaptations])
    return table


def _runs(found: NamedArchitecture) -> list[tuple[int, int, str, int]]:
    runs: list[tuple[int, int, str, int]] = []
    for number, block in enumerate(found.architecture.blocks, start=1):
        mixer, width = mixer_text(block.mixer), block.ffn.width
        if runs and runs[-1][2:] == (mixer, width):
            runs[-1] = (runs[-1][0], number, mixer, width)
        else:
            runs.append((number, number, mixer, width))
    return runs


def _with_interval(found: Observation) -> str:
    return f"{found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


def _counts(found: NamedArchitecture) -> list[tuple[str, str]]:
    architecture = found.architecture
    count = parameters(architecture)
    recall = tabled_score(architecture.layout)
    return [
        ("parameters", f"{count.total / 1e6:.2f} M"),
        ("effective parameters", f"{count.effective / 1e6:.2f} M"),
        ("embedding ratio", f"{count.embedding_ratio:.3f}"),
        ("hidden size", str(architecture.hidden_size)),
        ("vocabulary", str(architecture.vocab_size)),
        ("int4 weights", f"{weight_bytes(architecture, Precision()) / 1e6:.1f} MB"),
        (f"state at {CONTEXT_TOKENS} tokens", f"{state_bytes(architecture, CONTEXT_TOKENS) / 1e6:.2f} MB"),
        ("recall pattern", reduce_to_four(architecture.layout)),
        ("recall score", _with_interval(recall_with_interval(recall)) if recall else "not in the table"),
        ("estimated relative loss", f"{relative_loss(architecture).value:.4f} nats"),
    ]
