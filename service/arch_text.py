"""Show an architecture in a terminal or as JSON: its blocks, its counts, its costs."""

from typing import Any

from rich.table import Table
from rich.text import Text

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


def architecture_table(found: NamedArchitecture) -> Table:
    """Show one line per run of equal blocks, the counts as caption."""
    title = Text.assemble(f"{found.label}: ", layout_text(found.architecture.layout))
    table = Table("blocks", "mixer", "FFN width", title=title)
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
        ("parameters", f"{count.total / 1e6:.2f} M ({count.total})"),
        ("of them", _parts(found)),
        ("effective parameters", f"{count.effective / 1e6:.2f} M"),
        ("embedding ratio", f"{count.embedding_ratio:.3f}"),
        ("hidden size", str(architecture.hidden_size)),
        ("vocabulary", str(architecture.vocab_size)),
        (f"{PRECISION.label} weights", f"{weight_bytes(architecture, PRECISION) / 1e6:.1f} MB"),
        *_cost_lines(found),
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


def _cost_lines(found: NamedArchitecture) -> list[tuple[str, str]]:
    costs, at = _costs(found), " / ".join(CONTEXTS)
    state = " / ".join(f"{value / 1e6:.2f}" for value in costs["state_bytes"].values())
    flops = " / ".join(f"{value / 1e6:.0f}" for value in costs["decode_flops"].values())
    moved = " / ".join(f"{value / 1e6:.1f}" for value in costs["decode_bytes"].values())
    return [
        (f"state at {at} tokens (fp32)", f"{state} MB"),
        (f"operations per decoded token at {at}", f"{flops} MFLOP"),
        (f"bytes per decoded token at {at}", f"{moved} MB"),
        (f"prefill of {PROMPT_TOKENS} tokens", f"{costs['prefill_flops'] / 1e9:.1f} GFLOP"),
    ]
