"""A front as CSV and Parquet: one line per trial, every metric with its interval and raw reading."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow
import pyarrow.parquet

PARTS = ("value", "low", "high", "raw")


@dataclass(frozen=True)
class FrontLine:
    """A trial of a front; `observations` are value, low, high and raw by metric."""

    number: int
    label: str
    layout: str
    candidate_digest: str
    knee: bool
    observations: Mapping[str, Mapping[str, float | None]]


def csv_of(lines: Sequence[FrontLine], metrics: Sequence[str]) -> str:
    """Write a header and a line per trial."""
    text = io.StringIO()
    table = _columns(lines, metrics)
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def parquet_of(lines: Sequence[FrontLine], metrics: Sequence[str]) -> bytes:
    """Write the same table with types: numbers are float64, null where there is no raw reading."""
    table = _columns(lines, metrics)
    arrays = {
        name: pyarrow.array(values, type=_TYPES.get(name, pyarrow.float64()))
        for name, values in table.items()
    }
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays), out)
    return out.getvalue()


_TYPES = {
    "number": pyarrow.int64(),
    "label": pyarrow.string(),
    "layout": pyarrow.string(),
    "candidate_digest": pyarrow.string(),
    "knee": pyarrow.bool_(),
}


def _columns(lines: Sequence[FrontLine], metrics: Sequence[str]) -> dict[str, list[object]]:
    table: dict[str, list[object]] = {name: [getattr(line, name) for line in lines] for name in _TYPES}
    for metric in metrics:
        for part in PARTS:
            name = metric if part == "value" else f"{metric}.{part}"
            table[name] = [line.observations.get(metric, {}).get(part) for line in lines]
    return table
