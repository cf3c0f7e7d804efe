"""Read plain JSON values into frozen dataclasses, refusing whatever was not promised."""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from devices.errors import PlanError

T = TypeVar("T")


def read(kind: type[T], value: object, place: str) -> T:
    """Read `value` as the dataclass `kind`; raise PlanError by place for anything unexpected."""
    try:
        return typing.cast(T, _dataclass_reader(typing.cast(type, kind))(value))
    except _Misread as error:
        raise PlanError(f"{place}{error.place}: {error.words}") from None


def write(value: object) -> Any:
    """Turn a tree of frozen dataclasses and tuples into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: write(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [write(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): write(item) for key, item in value.items()}
    return value


class _Misread(Exception):
    """What is wrong; its place grows on the way up, so that what is right costs no words."""

    def __init__(self, words: str, place: str = "") -> None:
        super().__init__(words)
        self.words, self.place = words, place

    def within(self, step: str) -> "_Misread":
        return _Misread(self.words, step + self.place)


_Reader = Callable[[Any], Any]
"""Reads a value; made once for each type, as there are many values."""


@functools.cache
def _dataclass_reader(kind: type) -> _Reader:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    readers = {name: _reader(hints[name]) for name in fields}
    needed = [
        name
        for name, field in fields.items()
        if field.default is field.default_factory is dataclasses.MISSING
    ]

    def require_known(value: Any) -> None:
        if not isinstance(value, Mapping):
            raise _Misread(f"expected an object, got {_shown(value)}")
        for key in value:
            if key not in readers:
                raise _Misread(f"unknown key; known are {', '.join(readers)}", f".{key}")
        for name in needed:
            if name not in value:
                raise _Misread("missing", f".{name}")

    def read_dataclass(value: Any) -> Any:
        if type(value) is not dict or value.keys() != readers.keys():
            require_known(value)
        found = {}
        for name, part in value.items():
            try:
                found[name] = readers[name](part)
            except _Misread as error:
                raise error.within(f".{name}") from None
        return kind(**found)

    return read_dataclass


@functools.cache
def _reader(hint: Any) -> _Reader:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _tuple_reader(typing.get_args(hint)[0])
    if origin in (types.UnionType, typing.Union):
        return _optional_reader(hint)
    if origin is typing.Literal:
        return functools.partial(_read_literal, typing.get_args(hint))
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(typing.cast(type, hint))
    if origin is not None and issubclass(origin, Mapping):
        return _read_mapping
    return functools.partial(_read_scalar, hint)


def _tuple_reader(item_hint: Any) -> _Reader:
    read_item = _reader(item_hint)

    def read_tuple(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise _Misread(f"expected a list, got {_shown(value)}")
        if item_hint is float and set(map(type, value)) == {float} and math.isfinite(sum(value)):
            return tuple(value)  # samples are many
        found: list[Any] = []
        try:
            for item in value:
                found.append(read_item(item))
        except _Misread as error:
            raise error.within(f"[{len(found)}]") from None
        return tuple(found)

    return read_tuple


def _optional_reader(hint: Any) -> _Reader:
    (inner,) = (argument for argument in typing.get_args(hint) if argument is not type(None))
    read_inner = _reader(inner)
    return lambda value: None if value is None else read_inner(value)


def _read_literal(allowed: tuple[object, ...], value: object) -> object:
    if value not in allowed:
        raise _Misread(f"expected one of {', '.join(map(repr, allowed))}, got {_shown(value)}")
    return value


def _read_mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _Misread(f"expected an object, got {_shown(value)}")
    return {str(key): item for key, item in value.items()}


def _read_scalar(hint: Any, value: object) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is an int in Python, so the exact type decides.
    if type(value) is not hint:
        raise _Misread(f"expected {hint.__name__}, got {_shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Misread(f"expected a finite number, got {value}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
