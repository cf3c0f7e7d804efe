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
        "cache_implementation",
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
        "pretraining_tp",
        "problem_type",
        "return_dict",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Keys that say nothing of the architecture: tokens, training, bookkeeping."""

EMPTY: tuple[Any, ...] = (None, False, 0, "", [], {})
"""Values with which a key that Loopfront doesn't know asks for nothing."""

LARGEST_WHOLE = 10**9
LARGEST_NUMBER = 1e12
LARGEST_DEPTH = 1024


class ConfigReader:
    """Hands out a config's values once each; `finish` refuses what nobody asked for."""

    def __init__(self, document: Mapping[str, Any], place: str = "") -> None:
        self._left = dict(document)
        self._place = place

    def has(self, key: str) -> bool:
        """Tell whether a key is there and not null."""
        return self._left.get(key) is not None

    def says(self, key: str, value: object) -> bool:
        """Tell whether a key is there with this value; it is not taken."""
        return bool(self._left.get(key) == value)

    def whole(self, key: str, default: int | None = None, least: int = 1, most: int = LARGEST_WHOLE) -> int:
        """Take a whole number."""
        value = self._take(key, default)
        if type(value) is not int or not least <= value <= most:
            raise ConfigError(self._named(key), value, f"must be a whole number from {least} to {most}")
        return value

    def depth(self) -> int:
        """Take the number of layers, before a list of so many is made."""
        return self.whole("num_hidden_layers", most=LARGEST_DEPTH)

    def number(self, key: str, default: float | None = None) -> float:
        """Take a positive number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST_NUMBER:
            raise ConfigError(
                self._named(key), value, f"must be a positive number, at most {LARGEST_NUMBER:g}"
            )
        return float(value)

    def truth(self, key: str, default: bool | None = None) -> bool:
        """Take true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise ConfigError(self._named(key), value, "must be true or false")
        return value

    def words(self, key: str, count: int, known: Iterable[str]) -> list[str]:
        """Take a list of `count` words, one for each layer, each one of `known`."""
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
        """Refuse the first key that was neither taken nor is neutral, unless it asks for nothing."""
        for key, value in self._left.items():
            if key not in NEUTRAL and value not in EMPTY:
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
