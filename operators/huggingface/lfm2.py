"""LFM2: gated short convolutions and grouped-query attention (Liquid AI 2025)."""

from typing import Any

from torch import Tensor

from operators.architecture import Architecture
from operators.huggingface.config_reader import ConfigReader
from operators.huggingface.family import (
    Family,
    Weights,
    any_attention,
    attention_keys,
    blocks_of,
    default_rope,
    first_of,
    gate_and_up,
    read_heads,
    renamed,
    shared_keys,
    split_projection,
)
from operators.mixer import Mixer
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.short_conv import ShortConv

ATTENTION, CONV = "full_attention", "conv"
ROTARY_BASE = 1e6
DEFAULTS = {
    "vocab_size": 65536, "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "norm_eps": 1e-5, "conv_L_cache": 3,
    "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True,
    "tie_word_embeddings": True,
}  # fmt: skip
NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.embedding_norm.weight",
    "head.weight": "lm_head.weight",
}
INITIALISATION_KEYS = (
    "block_mlp_init_scale",
    "block_out_init_scale",
    "block_use_xavier_init",
    "conv_use_xavier_init",
)


def read(reader: ConfigReader) -> Architecture:
    """Make an Architecture of an LFM2 config."""
    width, depth = reader.whole("hidden_size"), reader.depth()
    heads, head_size = read_heads(reader, width)
    epsilon = reader.number("norm_eps")
    base, _ = default_rope(reader, ROTARY_BASE)
    kv_heads = reader.whole("num_key_value_heads")
    attention = GroupQueryAttention(heads, kv_heads, head_size, rotary_base=base, qk_norm_epsilon=epsilon)
    conv = ShortConv(reader.whole("conv_L_cache"))
    mixers: list[Mixer] = [attention if kind == ATTENTION else conv for kind in _layer_types(reader, depth)]
    _refuse_other_forms(reader, width, heads, epsilon)
    found = Architecture(
        vocab_size=reader.whole("vocab_size"),
        hidden_size=width,
        blocks=blocks_of(mixers, _ffn_width(reader)),
        tie_embeddings=_ties(reader),
        norm_epsilon=epsilon,
    )
    reader.finish()
    return found


def _layer_types(reader: ConfigReader, depth: int) -> list[str]:
    if reader.has("layer_types"):
        reader.drop("full_attn_idxs")
        return reader.words("layer_types", depth, (CONV, ATTENTION))
    if not reader.has("full_attn_idxs"):
        return [ATTENTION] * depth
    indices = reader.indices("full_attn_idxs", depth)
    return [ATTENTION if i in indices else CONV for i in range(depth)]


def _ffn_width(reader: ConfigReader) -> int:
    """Undo what LFM2 does to its `intermediate_size`: two thirds of it, rounded up to a multiple."""
    key = "block_ff_dim" if reader.has("block_ff_dim") else "intermediate_size"
    width = reader.whole(key)
    reader.drop("intermediate_size")
    multiplier, step = reader.number("block_ffn_dim_multiplier"), reader.whole("block_multiple_of")
    if not reader.truth("block_auto_adjust_ff_dim"):
        return width
    width = int(multiplier * int(2 * width / 3))
    return -(-width // step) * step


def _ties(reader: ConfigReader) -> bool:
    tied = reader.truth("tie_word_embeddings")
    return reader.truth("tie_embedding", tied)


def _refuse_other_forms(reader: ConfigReader, width: int, heads: int, epsilon: float) -> None:
    """Check the keys that published configs carry beside those that count."""
    for key in ("block_dim", "conv_dim", "conv_dim_out"):
        reader.only(key, width)
    reader.only("num_heads", heads)
    reader.only("block_norm_eps", epsilon)
    reader.only("block_use_swiglu", True)
    reader.only("use_pos_enc", True)
    reader.only("conv_bias", False)
    reader.drop(*INITIALISATION_KEYS, "theta")


def write(architecture: Architecture) -> dict[str, Any]:
    """Write the nearest LFM2 config."""
    attention = first_of(GroupQueryAttention, architecture) or any_attention(architecture)
    conv = first_of(ShortConv, architecture, ShortConv())
    is_attention = [isinstance(block.mixer, GroupQueryAttention) for block in architecture.blocks]
    return {
        **shared_keys(architecture),
        **attention_keys(attention),
        "norm_eps": architecture.norm_epsilon,
        "conv_L_cache": conv.kernel_size,
        "conv_bias": False,
        "block_auto_adjust_ff_dim": False,
        "layer_types": [ATTENTION if each else CONV for each in is_attention],
        "rope_parameters": {"rope_type": "default", "rope_theta": attention.rotary_base},
    }


def tensors(architecture: Architecture, weights: Weights) -> dict[str, Tensor]:
    """Rename the weights as an LFM2 checkpoint names them."""
    return renamed(architecture, weights, NAMES, _block)


def _block(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    return {
        "operator_norm.weight": own["mixer_norm.weight"],
        "ffn_norm.weight": own["ffn_norm.weight"],
        **gate_and_up(own, "feed_forward.w1", "feed_forward.w3", "feed_forward.w2"),
        **(_attention(mixer, own) if isinstance(mixer, GroupQueryAttention) else conv_tensors(own)),
    }


def _attention(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    query, key, value = split_projection(mixer, own)
    return {
        "self_attn.q_proj.weight": query,
        "self_attn.k_proj.weight": key,
        "self_attn.v_proj.weight": value,
        "self_attn.out_proj.weight": own["mixer.out_proj.weight"],
        "self_attn.q_layernorm.weight": own["mixer.q_norm.weight"],
        "self_attn.k_layernorm.weight": own["mixer.k_norm.weight"],
    }


def conv_tensors(own: Weights) -> dict[str, Tensor]:
    """Rename the tensors of a short convolution, as LFM2 and LFM3 name them."""
    return {
        "conv.in_proj.weight": own["mixer.in_proj.weight"],
        "conv.conv.weight": own["mixer.conv_weight"][:, None],
        "conv.out_proj.weight": own["mixer.out_proj.weight"],
    }


LFM2 = Family("lfm2", "Lfm2ForCausalLM", DEFAULTS, read, write, tensors)
