"""The published families that Loopfront reads and writes: the one place where a family becomes known."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from operators.architecture import Architecture
from operators.errors import ArchitectureError, ConfigError
from operators.huggingface.config_reader import ConfigReader
from operators.huggingface.family import Family
from operators.huggingface.gemma3_text import GEMMA3_TEXT
from operators.huggingface.lfm2 import LFM2
from operators.huggingface.lfm3 import LFM3
from operators.huggingface.qwen3 import QWEN3
from operators.huggingface.qwen3_5_text import QWEN3_5_TEXT

Families = Mapping[str, Family]

FAMILIES: Families = MappingProxyType(
    {family.model_type: family for family in (QWEN3, LFM2, LFM3, GEMMA3_TEXT, QWEN3_5_TEXT)}
)


def read_config(document: Mapping[str, Any], families: Families = FAMILIES) -> Architecture:
    """Make an Architecture of a Hugging Face config; raise ConfigError naming what can't be read."""
    kind = document.get("model_type")
    if not isinstance(kind, str) or kind not in families:
        inside = " (its text_config is one)" if isinstance(document.get("text_config"), Mapping) else ""
        raise ConfigError("model_type", kind, f"use a config of {', '.join(families)}{inside}")
    try:
        return families[kind].read(ConfigReader({**families[kind].defaults, **document}))
    except ArchitectureError as error:
        raise ConfigError(error.field, error.value, error.way_out) from error


def native_config(
    architecture: Architecture, families: Families = FAMILIES
) -> tuple[Family, dict[str, Any]] | None:
    """Return the family that says exactly this architecture, and its config; None where none does."""
    for family in families.values():
        try:
            config = {"model_type": family.model_type, **family.write(architecture)}
            if read_config(config, families) == architecture:
                return family, config
        except ConfigError:
            continue
    return None
