"""Writes README's table of operators, measured here: `make operator-table`."""

import argparse
from pathlib import Path

import onnxruntime

from devices.device_facts import read_facts
from devices.local import LocalConnection
from operators.mixer import Mixer
from operators.precision import Precision
from tests.benchmarks.operator_speed.side_by_side import DEPTH, PROMPT_TOKENS
from tests.benchmarks.operator_speed.single_operators import (
    WIDTH,
    Cost,
    Costs,
    measure_mixers,
    moved_bytes,
)

README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- operators: written by make operator-table -->", "<!-- end of operators -->"
PRECISION, THREADS = Precision(4, 128), 1
HEAD = (
    f"| mixer | parameters | state at {PROMPT_TOKENS} / {DEPTH} | MFLOP per token | MB per token "
    f"| prefill of {PROMPT_TOKENS}, ms | decode at {PROMPT_TOKENS} / {DEPTH}, ms | times the floor |"
)
RULE = "|---|---:|---:|---:|---:|---:|---:|---:|"


def main() -> None:
    """Measure and write the table into README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/bench-operators"))
    costs = measure_mixers(parser.parse_args().folder.absolute(), PRECISION, THREADS)
    text = README.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    README.write_text(f"{before}{BEGIN}\n{table(costs)}\n{after}")
    print("\n".join(costs.lines()))  # noqa: T201 - a command's output


def table(costs: Costs) -> str:
    """Return the table and what it was measured with, as Markdown."""
    note = (
        f"One mixer at width {WIDTH} (that of LFM2-350M), {costs.precision.label}, {costs.threads} thread, without its "
        f"FFN and norms. The last three columns were measured on {processor()}, "
        f"ONNX Runtime {onnxruntime.__version__}; the floor is a step's bytes "
        f"over the {costs.bytes_per_second / 1e9:.0f} GB/s at which one thread reads memory there."
    )
    return "\n".join([HEAD, RULE, *(_row(cost) for cost in costs.rows), "", note])


def _row(cost: Cost) -> str:
    prefill, *steps = cost.milliseconds
    measured = [
        f"{prefill:.1f}",
        " / ".join(f"{step:.2f}" for step in steps),
        " / ".join(f"{multiple:.1f}" for multiple in cost.floor_multiples),
    ]
    return "| " + " | ".join([*closed_form(cost.mixer), *measured]) + " |"


def closed_form(mixer: Mixer) -> list[str]:
    """Return the cells that follow from the mixer's config alone."""
    depths = PROMPT_TOKENS, DEPTH
    states = [mixer.state_bytes(WIDTH, depth) for depth in depths]
    operations = [mixer.flops_per_token(WIDTH, depth) / 1e6 for depth in depths]
    moved = [moved_bytes(mixer, PRECISION, depth) / 1e6 for depth in depths]
    return [
        mixer.name.replace("_", " "),
        f"{mixer.parameters(WIDTH) / 1e6:.2f} M",
        _pair([_size(state) for state in states]),
        _pair([f"{each:.1f}" for each in operations]),
        _pair([f"{each:.2f}" for each in moved]),
    ]


def _pair(cells: list[str]) -> str:
    return cells[0] if cells[0] == cells[1] else " / ".join(cells)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"


def processor() -> str:
    """Name this machine's processor and the vector instructions that the kernels are chosen by."""
    facts = read_facts(LocalConnection()).values
    kind = [facts["architecture"], *["virtual"] * bool(facts["is_virtual_machine"])]
    return f"{facts['processor']} ({', '.join([*kind, *(facts['vector_instructions'] or [])[-1:]])})"


if __name__ == "__main__":
    main()
