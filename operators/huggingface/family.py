"""What a published model family is: how its config is read and written, and what its tensors are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators.architecture import Architecture, Block, SwiGLU
from operators.errors import ConfigError
from operators.huggingface.config_reader import ConfigReader
from operators.mixer import Mixer
from operators.mixers.grouped_query_attention import GroupQueryAttention

Weights = Mapping[str, Tensor]
BlockTensors = Callable[[Mixer, Weights], dict[str, Tensor]]
"""Rename the tensors of one block, given its mixer and its tensors without their prefix."""


@dataclass(frozen=True)
class Family:
    """A `model_type` of transformers.

    `defaults` are the values that transformers gives keys which a config leaves out, as published configs do. `read`
    makes an Architecture of a config and raises ConfigError for what it can't be. `write` makes the config that
    comes nearest to an architecture: only where reading it gives the same architecture again can the family say it.
    `tensors` renames the weights of `operators.model.LanguageModel` as the family's checkpoint names them.
    """

    model_type: str
    model_class: str
    defaults: Mapping[str, Any]
    read: Callable[[ConfigReader], Architecture]
    write: Callable[[Architecture], dict[str, Any]]
    tensors: Callable[[Architecture, Weights], dict[str, Tensor]]


def blocks_of(mixers: list[Mixer], ffn_width: int) -> tuple[Block, ...]:
    """Return blocks with one FFN width."""
    return tuple(Block(mixer, SwiGLU(ffn_width)) for mixer in mixers)


def first_of(kind: type[Any], architecture: Architecture, default: Any = None) -> Any:
    """Return the first mixer of exactly this kind, `default` where there is none."""
    found = (block.mixer for block in architecture.blocks if type(block.mixer) is kind)
    return next(found, default)


def any_attention(architecture: Architecture) -> GroupQueryAttention:
    """Return the first attention mixer, windowed or not; ConfigError where there is none."""
    for block in architecture.blocks:
        if isinstance(block.mixer, GroupQueryAttention):
            return block.mixer
    raise ConfigError("layout", architecture.layout, "the family needs at least one attention layer")


def shared_keys(architecture: Architecture) -> dict[str, Any]:
    """Return the keys that every family spells alike."""
    return {
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.blocks[0].ffn.width,
        "num_hidden_layers": len(architecture.blocks),
        "tie_word_embeddings": architecture.tie_embeddings,
        # A tokenizer brings its own; a family's defaults may lie outside this vocabulary.
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
    }


def attention_keys(attention: GroupQueryAttention) -> dict[str, Any]:
    """Return the heads' keys as most families spell them."""
    return {
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.kv_heads,
        "head_dim": attention.head_size,
    }


def read_heads(reader: ConfigReader, hidden_size: int) -> tuple[int, int]:
    """Take the number of query heads and the size of one."""
    heads = reader.whole("num_attention_heads")
    if not reader.has("head_dim") and hidden_size % heads:
        raise ConfigError("num_attention_heads", heads, f"must divide hidden_size = {hidden_size}")
    return heads, reader.whole("head_dim", hidden_size // heads)


def default_rope(reader: ConfigReader, base: float, share: float | None = None) -> tuple[float, float]:
    """Take the rotary base and share of a model that has one rotation.

    What `rope_parameters` leaves out stands beside it, in the spelling of older configs. A `share` of None is that of
    a family which always rotates the whole head, whatever its config says.
    """
    reader.only("rope_scaling")
    outside = reader.number("rope_theta", base), _rotary_share(reader, share)
    if not reader.has("rope_parameters"):
        return outside
    return rope_part(reader.part("rope_parameters"), outside[0], share=None if share is None else outside[1])


def rope_part(
    part: ConfigReader, base: float, kind: str = "default", share: float | None = None
) -> tuple[float, float]:
    """Take base and share of one `rope_parameters` mapping of the given type."""
    for key in ("rope_type", "type"):
        part.only(key, kind)
    part.drop("mrope_section", "mrope_interleaved")  # they tell image positions apart; a text's are all alike
    found = part.number("rope_theta", base), _rotary_share(part, share)
    part.finish()
    return found


def _rotary_share(reader: ConfigReader, share: float | None) -> float:
    if share is None:
        reader.only("partial_rotary_factor", 1.0)
        return 1.0
    return reader.number("partial_rotary_factor", share)


def renamed(
    architecture: Architecture, weights: Weights, names: Mapping[str, str], block: BlockTensors
) -> dict[str, Tensor]:
    """Rename all weights: `names` those outside the blocks, `block` those of each block."""
    found = {theirs: weights[ours] for ours, theirs in names.items() if ours in weights}
    for i, each in enumerate(architecture.blocks):
        prefix = f"blocks.{i}."
        own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        found |= {f"model.layers.{i}.{name}": tensor for name, tensor in block(each.mixer, own).items()}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def gate_and_up(own: Weights, gate: str, up: str, down: str) -> dict[str, Tensor]:
    """Split the fused FFN projection."""
    first, second = own["ffn.in_proj.weight"].chunk(2, dim=0)
    return {f"{gate}.weight": first, f"{up}.weight": second, f"{down}.weight": own["ffn.out_proj.weight"]}


def split_projection(mixer: Any, own: Weights) -> tuple[Tensor, ...]:
    """Split a mixer's fused input projection into its parts."""
    return torch.split(own["mixer.in_proj.weight"], list(mixer.projected_sizes), dim=0)
