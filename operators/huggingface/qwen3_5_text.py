"""Qwen3.5 (text): gated delta nets and gated attention with partial rotation."""

from typing import Any

import torch
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
    renamed,
    shared_keys,
    split_projection,
)
from operators.huggingface.qwen3 import NAMES, attention_tensors, norms_and_ffn
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import OUTPUT_NORM_EPSILON, GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention

FULL, LINEAR = "full_attention", "linear_attention"
ROTARY_BASE, ROTARY_SHARE = 1e4, 0.25
DEFAULTS = {
    "vocab_size": 248320, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 256, "rms_norm_eps": 1e-6,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "tie_word_embeddings": False,
}  # fmt: skip


def read(reader: ConfigReader) -> Architecture:
    """Make an Architecture of a Qwen3.5 text config."""
    width, depth = reader.whole("hidden_size"), reader.depth()
    reader.only("rms_norm_eps", OUTPUT_NORM_EPSILON)
    by_type: dict[str, Mixer] = {FULL: _attention(reader), LINEAR: _delta_net(reader)}
    mixers = [by_type[kind] for kind in _layer_types(reader, depth)]
    reader.only("attention_bias", False)
    reader.only("hidden_act", "silu")
    reader.drop("mamba_ssm_dtype", "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings")
    found = Architecture(
        vocab_size=reader.whole("vocab_size"),
        hidden_size=width,
        blocks=blocks_of(mixers, reader.whole("intermediate_size")),
        tie_embeddings=reader.truth("tie_word_embeddings"),
        norm_epsilon=OUTPUT_NORM_EPSILON,
    )
    reader.finish()
    return found


def _attention(reader: ConfigReader) -> GroupQueryAttention:
    heads = reader.whole("num_attention_heads")
    reader.only("attn_output_gate", True)
    base, share = default_rope(reader, ROTARY_BASE, ROTARY_SHARE)
    return GroupQueryAttention(
        heads, reader.whole("num_key_value_heads"), reader.whole("head_dim"),
        rotary_base=base, rotary_share=share, qk_norm_epsilon=OUTPUT_NORM_EPSILON, output_gate="element",
    )  # fmt: skip


def _delta_net(reader: ConfigReader) -> GatedDeltaNet:
    return GatedDeltaNet(
        key_heads=reader.whole("linear_num_key_heads"),
        value_heads=reader.whole("linear_num_value_heads"),
        key_head_size=reader.whole("linear_key_head_dim"),
        value_head_size=reader.whole("linear_value_head_dim"),
        conv_kernel_size=reader.whole("linear_conv_kernel_dim"),
    )


def _layer_types(reader: ConfigReader, depth: int) -> list[str]:
    every = reader.whole("full_attention_interval", 4)
    if reader.has("layer_types"):
        return reader.words("layer_types", depth, (FULL, LINEAR))
    return [LINEAR if (i + 1) % every else FULL for i in range(depth)]


def write(architecture: Architecture) -> dict[str, Any]:
    """Write the nearest Qwen3.5 text config."""
    attention = any_attention(architecture)
    delta = first_of(GatedDeltaNet, architecture, GatedDeltaNet(16, 32, 128, 128))
    return {
        **shared_keys(architecture),
        **attention_keys(attention),
        "rms_norm_eps": architecture.norm_epsilon,
        "linear_num_key_heads": delta.key_heads,
        "linear_num_value_heads": delta.value_heads,
        "linear_key_head_dim": delta.key_head_size,
        "linear_value_head_dim": delta.value_head_size,
        "linear_conv_kernel_dim": delta.conv_kernel_size,
        "layer_types": [
            FULL if isinstance(block.mixer, GroupQueryAttention) else LINEAR for block in architecture.blocks
        ],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": attention.rotary_base,
            "partial_rotary_factor": attention.rotary_share,
        },
    }


def tensors(architecture: Architecture, weights: Weights) -> dict[str, Tensor]:
    """Rename the weights as a Qwen3.5 checkpoint names them; most norms' gains are stored as their distance from 1."""
    found = renamed(architecture, weights, NAMES, _block)
    return {name: w - 1 if _is_stored_from_one(name) else w for name, w in found.items()}


def _is_stored_from_one(name: str) -> bool:
    return name.endswith("norm.weight") and "linear_attn" not in name


def _block(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    if isinstance(mixer, GroupQueryAttention):
        query, key, value, gate = split_projection(mixer, own)
        return {
            **norms_and_ffn(own),
            "self_attn.q_proj.weight": _by_head(mixer, query, gate),
            **attention_tensors(own, key, value),
        }
    mixed, gate, decay, rate = split_projection(mixer, own)
    return {
        **norms_and_ffn(own),
        "linear_attn.in_proj_qkv.weight": mixed,
        "linear_attn.in_proj_z.weight": gate,
        "linear_attn.in_proj_a.weight": decay,
        "linear_attn.in_proj_b.weight": rate,
        "linear_attn.conv1d.weight": own["mixer.conv_weight"][:, None],
        "linear_attn.dt_bias": own["mixer.decay_bias"],
        "linear_attn.A_log": own["mixer.decay_log_scale"],
        "linear_attn.norm.weight": own["mixer.out_norm.weight"],
        "linear_attn.out_proj.weight": own["mixer.out_proj.weight"],
    }


def _by_head(mixer: GroupQueryAttention, query: Tensor, gate: Tensor) -> Tensor:
    """Join query and gate head by head, as Qwen3.5's `q_proj` holds them."""
    parts = [part.view(mixer.heads, mixer.head_size, -1) for part in (query, gate)]
    return torch.cat(parts, dim=1).flatten(0, 1)


QWEN3_5_TEXT = Family("qwen3_5_text", "Qwen3_5ForCausalLM", DEFAULTS, read, write, tensors)
