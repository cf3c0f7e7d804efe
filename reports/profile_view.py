"""A device's profile in words and short numbers, the same in the terminal and on the page."""

from reports.number_text import percent_text, value_text
from reports.palette import mixer_style
from reports.profile_rows import CostRow, MixerCostRow, ProfileReport, ShapeRow
from reports.rows import Cell

OUTCOME_WORDS = {
    "out_of_memory": "out of memory",
    "timed_out": "timed out",
    "unsupported": "unsupported",
    "wrong_output": "wrong output",
    "not_ready": "device not ready",
    "throttled": "throttled",
    "runner_fault": "runner fault",
    "device_lost": "device lost",
    "not_calibrated": "not calibrated",
    "too_noisy": "too noisy",
    "nothing_to_compare": "nothing to compare with",
    "cancelled": "cancelled",
    "failed": "failed",
}


def short_number(value: float) -> str:
    """Three significant digits where that is possible: 0.273, 2.95, 54.8, 1 234."""
    size = abs(value)
    return value_text(value, 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3)


def spread(cell: Cell | None) -> str:
    """The interval's longer side in percent of the value, such as "± 3 %"; "" for an exact one."""
    if cell is None or cell.low is None or cell.high is None or not cell.value:
        return ""
    distance = max(cell.high - cell.value, cell.value - cell.low) / abs(cell.value)
    return f"±\u202f{percent_text(distance, 0 if distance >= 0.0095 else 1)}" if distance else ""


def times(cost: CostRow) -> str:
    """How many short convs it is: "×3.91"."""
    return f"×{short_number(cost.ratio.value)}" if cost.ratio else ""


def place_title(cost: CostRow) -> str:
    """The place with its tokens readable: "decode at 32 768"."""
    return f"{cost.place.removesuffix(str(cost.tokens))}{value_text(cost.tokens, 0)}"


def missing(outcome: str, state: str = "") -> str:
    """Why a number is missing, in a word or two."""
    return OUTCOME_WORDS.get(outcome, outcome.replace("_", " ")) or (
        "to come" if state != "failed" else "failed"
    )


def gigabytes(per_second: float) -> str:
    """A bandwidth: "12.3 GB/s"."""
    return f"{value_text(per_second / 1e9, 1)} GB/s"


def ceiling_per_second(row: ShapeRow) -> float | None:
    """How many tokens per second the memory's bandwidth would allow."""
    if row.decode_per_second is None or row.bandwidth_share is None or not row.bandwidth_share.value:
        return None
    return row.decode_per_second.value / row.bandwidth_share.value


def findings(report: ProfileReport) -> tuple[str, ...]:
    """What a profile says, in sentences."""
    found = [*_dearest_mixers(report), *_fastest_shapes(report)]
    if report.impossible:
        found.append(
            f"Faster than the memory's bandwidth allows: {'; '.join(report.impossible)}. There the caches answered, "
            "or a number is wrong: don't rely on it."
        )
    return tuple(found)


def notes(report: ProfileReport) -> tuple[str, ...]:
    """How the numbers were made, and what they leave out."""
    copies = sorted({(row.few_copies, row.many_copies) for row in report.mixers})
    pairs = " or ".join(f"{few} and {many}" for few, many in copies)
    return (
        f"A mixer's cost is a difference: models of {pairs or 'few and many'} equal blocks at width {report.width}, "
        "each with weights and a state of its own, over the blocks between them. So embedding, head and runtime "
        "cancel; a block's norms and its FFN of width 32 do not.",
        "Every time is paired: candidate and sentinel take turns in one process. ± is half the 95 % interval; that of "
        "a ratio holds the errors of all four models it is made of.",
        "Decode steps at a depth read states that were filled directly: nothing was prefilled to get there.",
        f"{report.precision} weights, random; {report.threads} thread{'s' * (report.threads > 1)}. Outputs were "
        "compared with PyTorch's before anything was timed.",
        "The memory's bandwidth is the fastest plain reading of a buffer larger than the caches. The share is the "
        "bytes of a decode step over its time, over that.",
    )


def _dearest_mixers(report: ProfileReport) -> list[str]:
    """Name the dearest mixer of every place, those with the same one together."""
    dearest: dict[str, list[CostRow]] = {}
    for index in range(len(report.contexts) + 1):
        known = [row for row in report.mixers if row.costs[index].ratio is not None]
        if len(known) > 1:
            top = max(known, key=lambda row: _ratio(row, index))
            dearest.setdefault(mixer_style(top.code).name, []).append(top.costs[index])
    return [
        f"{name.capitalize()} is the dearest mixer in {_listed([_told(cost) for cost in costs])}."
        for name, costs in dearest.items()
    ]


def _ratio(row: MixerCostRow, index: int) -> float:
    cell = row.costs[index].ratio
    return cell.value if cell else 0.0


def _told(cost: CostRow) -> str:
    return f"{place_title(cost)} tokens ({times(cost)} a short conv)"


def _fastest_shapes(report: ProfileReport) -> list[str]:
    known = [(row.decode_per_second.value, row) for row in report.shapes if row.decode_per_second]
    if not known:
        return []
    fastest, row = max(known, key=lambda pair: pair[0])
    shares = [row.bandwidth_share.value for _, row in known if row.bandwidth_share]
    text = f"{row.name} decodes fastest, at {short_number(fastest)} tokens per second."
    if shares:
        low, high = percent_text(min(shares)), percent_text(max(shares))
        reached = low if low == high else f"{low} to {high}"
        text += f" Decode reaches {reached} of the memory's bandwidth."
    return [text]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
