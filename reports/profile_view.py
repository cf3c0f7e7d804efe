"""A device's profile in words and short numbers, the same in the terminal and on the page."""

from reports.number_text import percent_text, value_text
from reports.palette import mixer_style
from reports.profile_rows import CostRow, ProfileReport, ShapeRow
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
    """How many short convs it is: "×3.91", and "1" for a short conv itself."""
    if cost.ratio is None:
        return ""
    is_itself = cost.ratio.low == cost.ratio.high == 1.0
    return "1" if is_itself else f"×{short_number(cost.ratio.value)}"


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
    threads = f"{report.threads} thread{'s' * (report.threads > 1)}"
    return (
        *_notes_on_mixers(report),
        "Every time is paired: candidate and sentinel take turns in one process. ± is half the 95 % interval.",
        f"{report.precision} weights, random; {threads}. Outputs were compared with PyTorch's before anything was "
        "timed.",
        "The memory's bandwidth is the fastest plain reading of a buffer larger than the caches. The share is the "
        "bytes of a decode step over its time, over that.",
    )


def _notes_on_mixers(report: ProfileReport) -> tuple[str, ...]:
    if not report.mixers:
        return ()
    copies = sorted({(row.few_copies, row.many_copies) for row in report.mixers})
    pairs = " or ".join(f"{few} and {many}" for few, many in copies)
    return (
        f"A mixer's cost is a difference: models of {pairs} equal blocks at width {report.width}, each with weights "
        "and a state of its own, over the blocks between them. So embedding, head and runtime cancel; a block's norms "
        "and its FFN of width 32 do not. The interval of a ratio holds the errors of all four models it is made of.",
        "Decode steps at a depth read states that were filled directly: nothing was prefilled to get there.",
    )


def _dearest_mixers(report: ProfileReport) -> list[str]:
    """Name the dearest mixers of every place once all are known, those that can't be told apart together."""
    dearest: dict[tuple[str, ...], list[str]] = {}
    for index in range(0 if report.is_running else len(report.contexts) + 1):
        known = [
            (row, cost, cost.ratio) for row in report.mixers if (cost := row.costs[index]).ratio is not None
        ]
        if len(known) < 2:
            continue
        _, cost, most = max(known, key=lambda each: _value(each[2]))
        alike = tuple(mixer_style(row.code).name for row, _, ratio in known if _reaches(ratio, most))
        dearest.setdefault(alike, []).append(_told(cost))
    return [_dearest(names, places) for names, places in dearest.items()]


def _dearest(names: tuple[str, ...], places: list[str]) -> str:
    which = "is the dearest mixer" if len(names) == 1 else "are the dearest mixers"
    named = _listed(list(names))
    return f"{named[0].upper()}{named[1:]} {which} in {_listed(places)}."


def _value(ratio: Cell | None) -> float:
    return ratio.value if ratio else 0.0


def _reaches(ratio: Cell | None, most: Cell | None) -> bool:
    """Tell whether an interval reaches up to the lower end of the dearest one's."""
    if ratio is None or most is None:
        return False
    return (ratio.high or ratio.value) >= (most.low or most.value)


def _told(cost: CostRow) -> str:
    return f"{place_title(cost)} tokens ({times(cost).removeprefix('×')} short convs)"


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
