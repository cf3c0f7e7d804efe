"""The rows of a report that show how well numbers repeated."""

from collections.abc import Mapping, Sequence

from reports.rows import RepeatRow
from search.objective import METRICS
from search.observation import Observation
from search.ranking import repeatability

REPEATED = ("ttft_ms_p50", "tpot_ms_p50", "peak_rss_mb")
FEWEST = 2

Pair = tuple[Mapping[str, Observation], Mapping[str, Observation]]


def repeat_rows(pairs: Sequence[Pair], targets: Sequence[str]) -> tuple[RepeatRow, ...]:
    """Compare first and second measurements of the same candidates, paired and raw."""
    if len(pairs) < FEWEST:
        return ()
    rows = []
    for metric in REPEATED:
        for target in targets:
            rows += _rows_of(metric, target, pairs)
    return tuple(rows)


def _rows_of(metric: str, target: str, pairs: Sequence[Pair]) -> list[RepeatRow]:
    name = f"{metric}@{target}"
    both = [(first[name], second[name]) for first, second in pairs if name in first and name in second]
    if len(both) < FEWEST:
        return []
    raw = [(first.raw or first.value, second.raw or second.value) for first, second in both]
    rows = [_row(name, "raw", raw)]
    if "_ms_" in metric:
        rows.append(_row(name, "paired", [(first.value, second.value) for first, second in both]))
    return rows


def _row(name: str, kind: str, pairs: Sequence[tuple[float, float]]) -> RepeatRow:
    found = repeatability([first for first, _ in pairs], [second for _, second in pairs])
    return RepeatRow(
        metric=name,
        label=METRICS[name.partition("@")[0]].label,
        kind="paired" if kind == "paired" else "raw",
        rank_correlation=float("nan") if found.rank_correlation is None else found.rank_correlation,
        median_difference=found.median_relative_difference,
        n=found.count,
        pairs=tuple(pairs),
    )
