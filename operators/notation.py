"""Reads architectures from plain JSON values, the inverse of `Architecture.to_dict`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from operators.architecture import Architecture, Block, SwiGLU
from operators.errors import NotationError
from operators.mixer import Mixer
from operators.registry import MIXERS, Registry


def architecture_from_dict(document: Mapping[str, Any], registry: Registry = MIXERS) -> Architecture:
    """Build an Architecture from its document; raise NotationError for unknown or missing keys."""
    _require_known("architecture", document, {field.name for field in fields(Architecture)})
    blocks = tuple(
        _block(f"blocks[{i}]", block, registry)
        for i, block in enumerate(_required(document, "architecture", "blocks"))
    )
    return Architecture(**{**document, "blocks": blocks})


def _block(place: str, document: Mapping[str, Any], registry: Registry) -> Block:
    _require_known(place, document, {"mixer", "ffn"})
    mixer = _mixer(f"{place}.mixer", _required(document, place, "mixer"), registry)
    ffn = dict(_required(document, place, "ffn"))
    if ffn.pop("kind", None) != "swiglu" or set(ffn) != {"width"}:
        raise NotationError(f"{place}.ffn = {document['ffn']!r}: must be a swiglu with a width")
    return Block(mixer, SwiGLU(**ffn))


def _mixer(place: str, document: Mapping[str, Any], registry: Registry) -> Mixer:
    values = dict(document)
    kind = values.pop("kind", None)
    if kind not in registry:
        raise NotationError(f"{place}.kind = {kind!r}: use one of {', '.join(registry)}")
    config = registry[kind].config
    _require_known(place, values, {field.name for field in fields(config)})
    try:
        return config(**values)  # type: ignore[no-any-return]
    except TypeError as missing:
        raise NotationError(f"{place}: {missing}") from missing


def _required(document: Mapping[str, Any], place: str, key: str) -> Any:
    if key not in document:
        raise NotationError(f"{place}: the key {key!r} is missing")
    return document[key]


def _require_known(place: str, document: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise NotationError(f"{place}.{unknown[0]}: unknown key; known are {', '.join(sorted(known))}")
