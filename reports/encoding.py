"""Rows as plain JSON values, there and back."""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from reports.errors import RowError
from reports.profile_rows import ProfileReport
from reports.rows import MeasurementReport, ProgressRow, StudyReport

Json = dict[str, Any]


def report_to_dict(report: StudyReport) -> Json:
    """The whole report as JSON values; a number that is not finite becomes null, as JSON has no other way."""
    return _row_to_plain(report)


def report_from_dict(mapping: Mapping[str, Any]) -> StudyReport:
    """The report that `report_to_dict` wrote; raises RowError naming the place that does not fit."""
    report = _to_row(StudyReport, mapping, "report")
    assert isinstance(report, StudyReport)
    return report


def progress_to_dict(progress: ProgressRow) -> Json:
    """A study's progress as JSON values."""
    return _row_to_plain(progress)


def progress_from_dict(mapping: Mapping[str, Any]) -> ProgressRow:
    """The progress that `progress_to_dict` wrote; raises RowError naming the place that does not fit."""
    progress = _to_row(ProgressRow, mapping, "progress")
    assert isinstance(progress, ProgressRow)
    return progress


def measurement_to_dict(measurement: MeasurementReport) -> Json:
    """One measured architecture as JSON values."""
    return _row_to_plain(measurement)


def measurement_from_dict(mapping: Mapping[str, Any]) -> MeasurementReport:
    """What `measurement_to_dict` wrote; raises RowError naming the place that does not fit."""
    measurement = _to_row(MeasurementReport, mapping, "measurement")
    assert isinstance(measurement, MeasurementReport)
    return measurement


def profile_to_dict(profile: ProfileReport) -> Json:
    """A device's profile as JSON values."""
    return _row_to_plain(profile)


def profile_from_dict(mapping: Mapping[str, Any]) -> ProfileReport:
    """What `profile_to_dict` wrote; raises RowError naming the place that does not fit."""
    profile = _to_row(ProfileReport, mapping, "profile")
    assert isinstance(profile, ProfileReport)
    return profile


def rows_to_plain(rows: Sequence[object]) -> list[Json]:
    """Any rows as a list of JSON objects."""
    return [_row_to_plain(row) for row in rows]


def _row_to_plain(row: Any) -> Json:
    return {each.name: _to_plain(getattr(row, each.name)) for each in fields(row)}


def _to_plain(value: Any) -> Any:
    if is_dataclass(value):
        return _row_to_plain(value)
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _to_row(row_type: Any, mapping: Any, place: str) -> Any:
    if not isinstance(mapping, Mapping):
        raise RowError(f"{place} should be an object, not {mapping!r}")
    known = {each.name: each for each in fields(row_type)}
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise RowError(f"{place} has no field {unknown[0]!r}: are service and client of the same version?")
    hints = get_type_hints(row_type)
    return row_type(
        **{
            name: _to_value(hints[name], mapping[name], f"{place}.{name}")
            for name, each in known.items()
            if name in mapping or _is_required(each, place)
        }
    )


def _is_required(each: Field[Any], place: str) -> bool:
    if each.default is MISSING and each.default_factory is MISSING:
        raise RowError(f"{place}.{each.name} is missing")
    return False


def _to_value(hint: Any, value: Any, place: str) -> Any:
    origin = get_origin(hint)
    if is_dataclass(hint):
        return _to_row(hint, value, place)
    if origin is tuple:
        return _to_tuple(get_args(hint), value, place)
    if origin in {dict, Mapping}:
        return _to_mapping(get_args(hint), value, place)
    if origin in {Union, types.UnionType}:
        return _to_optional(get_args(hint), value, place)
    return _to_scalar(hint, value, place)


def _to_tuple(hints: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise RowError(f"{place} should be a list, not {value!r}")
    item_hints = [hints[0]] * len(value) if hints[-1] is Ellipsis else list(hints)
    if len(item_hints) != len(value):
        raise RowError(f"{place} should hold {len(item_hints)} values, not {len(value)}")
    return tuple(
        _to_value(hint, item, f"{place}[{index}]")
        for index, (hint, item) in enumerate(zip(item_hints, value, strict=True))
    )


def _to_mapping(hints: tuple[Any, ...], value: Any, place: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise RowError(f"{place} should be an object, not {value!r}")
    key_type, item_hint = hints
    return {key_type(key): _to_value(item_hint, item, f"{place}.{key}") for key, item in value.items()}


def _to_optional(hints: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None:
        return None
    (hint,) = (each for each in hints if each is not type(None))
    return _to_value(hint, value, place)


def _to_scalar(hint: Any, value: Any, place: str) -> Any:
    if get_origin(hint) is Literal:
        return _to_choice(get_args(hint), value, place)
    if hint is float and value is None:
        return math.nan
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint):
        raise RowError(f"{place} should be {hint.__name__}, not {value!r}")
    return value


def _to_choice(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    if value not in choices:
        raise RowError(f"{place} should be one of {', '.join(choices)}, not {value!r}")
    return value
