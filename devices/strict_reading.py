"""Read plain JSON values into frozen dataclasses, refusing whatever was not promised."""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from devices.errors import PlanError

T = TypeVar("T")


def read(kind: type[T], value: object, place: str) -> T:
    """Read `value` as the dataclass `kind`; raise PlanError by place for anything unexpected."""
    if not isinstance(value, Mapping):
        raise PlanError(f"{place}: expected an object, got {_shown(value)}")
    hints, fields = _promised(typing.cast(type, kind))
    for key in value:
        if key not in fields:
            raise PlanError(f"{place}.{key}: unknown key; known are {', '.join(fields)}")
    for name, field in fields.items():
        has_default = not (field.default is field.default_factory is dataclasses.MISSING)
        if name not in value and not has_default:
            raise PlanError(f"{place}.{name}: missing")
    return kind(**{name: _read_as(hints[name], value[name], f"{place}.{name}") for name in value})


@functools.cache
def _promised(kind: type) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    return typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}


def write(value: object) -> Any:
    """Turn a tree of frozen dataclasses and tuples into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: write(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [write(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): write(item) for key, item in value.items()}
    return value


def _read_as(hint: Any, value: object, place: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _read_tuple(typing.get_args(hint)[0], value, place)
    if origin in (types.UnionType, typing.Union):
        return _read_optional(hint, value, place)
    if origin is typing.Literal:
        return _read_literal(hint, value, place)
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, place)
    if origin is not None and issubclass(origin, Mapping):
        return _read_mapping(value, place)
    return _read_scalar(hint, value, place)


def _read_tuple(item_hint: Any, value: object, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise PlanError(f"{place}: expected a list, got {_shown(value)}")
    if item_hint is float and all(type(item) is float and math.isfinite(item) for item in value):
        return tuple(value)  # samples are many
    return tuple(_read_as(item_hint, item, f"{place}[{index}]") for index, item in enumerate(value))


def _read_optional(hint: Any, value: object, place: str) -> Any:
    if value is None:
        return None
    (inner,) = (argument for argument in typing.get_args(hint) if argument is not type(None))
    return _read_as(inner, value, place)


def _read_literal(hint: Any, value: object, place: str) -> object:
    allowed = typing.get_args(hint)
    if value not in allowed:
        raise PlanError(f"{place}: expected one of {', '.join(map(repr, allowed))}, got {_shown(value)}")
    return value


def _read_mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{place}: expected an object, got {_shown(value)}")
    return {str(key): item for key, item in value.items()}


def _read_scalar(hint: Any, value: object, place: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is an int in Python, so the exact type decides.
    if type(value) is not hint:
        raise PlanError(f"{place}: expected {hint.__name__}, got {_shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise PlanError(f"{place}: expected a finite number, got {value}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
