"""Reads a Hugging Face config key by key, so that whatever was not understood is refused by name."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from operators.errors import ConfigError

T = TypeVar("T")

NEUTRAL = frozenset(
    {
        "_name_or_path",
        "_attn_implementation",
        "architectures",
        "attention_dropout",
        "attn_implementation",
        "bos_token_id",
        "chunk_size_feed_forward",
        "dtype",
        "eos_token_id",
        "id2label",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "max_position_embeddings",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Keys that say nothing of the architecture: tokens, training, bookkeeping."""


class ConfigReader:
    """Hands out a config's values once each; `finish` refuses what nobody asked for."""

    def __init__(self, document: Mapping[str, Any], place: str = "") -> None:
        self._left = dict(document)
        self._place = place

    def has(self, key: str) -> bool:
        """Tell whether a key is there and not null."""
        return self._left.get(key) is not None

    def whole(self, key: str, default: int | None = None) -> int:
        """Take a positive whole number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(self._named(key), value, "must be a positive whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Take a positive number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ConfigError(self._named(key), value, "must be a positive number")
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        """Take true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise ConfigError(self._named(key), value, "must be true or false")
        return value

    def words(self, key: str, count: int, known: Iterable[str]) -> list[str]:
        """Take a list of `count` words, each one of `known`."""
        value, known = self._take(key, None), tuple(known)
        if not isinstance(value, list) or len(value) != count:
            raise ConfigError(self._named(key), value, f"must be a list of {count}, one for each layer")
        for number, word in enumerate(value):
            if word not in known:
                raise ConfigError(f"{self._named(key)}[{number}]", word, f"use one of {', '.join(known)}")
        return value

    def indices(self, key: str, count: int) -> list[int]:
        """Take a list of layer numbers below `count`."""
        value = self._take(key, None)
        if not isinstance(value, list) or not all(
            isinstance(each, int) and 0 <= each < count for each in value
        ):
            raise ConfigError(
                self._named(key), value, f"must be a list of layer numbers from 0 to {count - 1}"
            )
        return value

    def part(self, key: str) -> "ConfigReader":
        """Take a mapping as a reader of its own."""
        value = self._take(key, None)
        if not isinstance(value, Mapping):
            raise ConfigError(self._named(key), value, "must be a mapping")
        return ConfigReader(value, f"{self._named(key)}.")

    def only(self, key: str, *supported: Any) -> None:
        """Take a key that, where it is given, must have one of the values that Loopfront can build."""
        value = self._left.pop(key, None)
        if value is not None and value not in supported:
            shown = " or ".join(repr(each) for each in supported) or "nothing"
            raise ConfigError(self._named(key), value, f"not supported: Loopfront can build {shown} here")

    def drop(self, *keys: str) -> None:
        """Leave out keys that change nothing."""
        for key in keys:
            self._left.pop(key, None)

    def finish(self) -> None:
        """Refuse the first key that was neither taken nor is neutral, unless it is null, false or zero."""
        for key, value in self._left.items():
            if key not in NEUTRAL and value not in (None, False, 0):
                raise ConfigError(self._named(key), value, "not supported: Loopfront doesn't know this key")

    def _take(self, key: str, default: Any) -> Any:
        value = self._left.pop(key, None)
        if value is None:
            value = default
        if value is None:
            raise ConfigError(self._named(key), None, "is missing")
        return value

    def _named(self, key: str) -> str:
        return f"{self._place}{key}"
