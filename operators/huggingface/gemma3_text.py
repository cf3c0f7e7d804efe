"""Gemma 3 (text): sliding windows and full attention between sandwich norms, with GeGLU and scaled embeddings."""

from typing import Any

from torch import Tensor

from operators.architecture import Architecture
from operators.errors import ConfigError
from operators.huggingface.config_reader import ConfigReader
from operators.huggingface.family import (
    Family,
    Weights,
    any_attention,
    attention_keys,
    blocks_of,
    first_of,
    gate_and_up,
    read_heads,
    renamed,
    rope_part,
    shared_keys,
    split_projection,
)
from operators.mixer import Mixer
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.sliding_window_attention import SlidingWindowAttention

FULL, SLIDING = "full_attention", "sliding_attention"
FULL_BASE, SLIDING_BASE = 1e6, 1e4
FULL_EVERY = 6
DEFAULTS = {
    "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-6, "sliding_window": 4096, "tie_word_embeddings": True,
}  # fmt: skip


def read(reader: ConfigReader) -> Architecture:
    """Make an Architecture of a Gemma 3 text config."""
    width, depth = reader.whole("hidden_size"), reader.depth()
    epsilon = reader.number("rms_norm_eps")
    by_type = _mixers(reader, width, epsilon)
    mixers = [by_type[kind] for kind in _layer_types(reader, depth)]
    for key in ("attention_bias", "use_bidirectional_attention"):
        reader.only(key, False)
    reader.only("hidden_activation", "gelu_pytorch_tanh")
    reader.only("hidden_act", "gelu_pytorch_tanh")
    reader.only("final_logit_softcapping")
    reader.only("attn_logit_softcapping")
    found = Architecture(
        vocab_size=reader.whole("vocab_size"),
        hidden_size=width,
        blocks=blocks_of(mixers, reader.whole("intermediate_size")),
        tie_embeddings=reader.truth("tie_word_embeddings"),
        norm_placement="sandwich",
        norm_epsilon=epsilon,
        embedding_scale=width**0.5,
        activation="gelu_tanh",
    )
    reader.finish()
    return found


def _mixers(reader: ConfigReader, width: int, epsilon: float) -> dict[str, Mixer]:
    heads, head_size = read_heads(reader, width)
    scalar = reader.number("query_pre_attn_scalar")
    if scalar != head_size:
        way_out = f"not supported: scores are scaled by the head's size, here {head_size}"
        raise ConfigError("query_pre_attn_scalar", scalar, way_out)
    shape: dict[str, Any] = {
        "heads": heads,
        "kv_heads": reader.whole("num_key_value_heads"),
        "head_size": head_size,
        "qk_norm_epsilon": epsilon,
    }
    full, sliding = _rotary_bases(reader)
    window = reader.whole("sliding_window")
    return {
        FULL: GroupQueryAttention(**shape, rotary_base=full),
        SLIDING: SlidingWindowAttention(**shape, rotary_base=sliding, window=window),
    }


def _rotary_bases(reader: ConfigReader) -> tuple[float, float]:
    reader.only("rope_scaling")
    bases = reader.number("rope_theta", FULL_BASE), reader.number("rope_local_base_freq", SLIDING_BASE)
    if not reader.has("rope_parameters"):
        return bases
    ropes = reader.part("rope_parameters")
    full, sliding = (
        rope_part(ropes.part(kind), base)[0] if ropes.has(kind) else base
        for kind, base in zip((FULL, SLIDING), bases, strict=True)
    )
    ropes.finish()
    return full, sliding


def _layer_types(reader: ConfigReader, depth: int) -> list[str]:
    if reader.has("layer_types"):
        reader.drop("_sliding_window_pattern", "sliding_window_pattern")
        return reader.words("layer_types", depth, (FULL, SLIDING))
    every = reader.whole("sliding_window_pattern", FULL_EVERY)
    reader.only(
        "_sliding_window_pattern", every
    )  # transformers writes it beside layer_types and never reads it
    return [SLIDING if (i + 1) % every else FULL for i in range(depth)]


def write(architecture: Architecture) -> dict[str, Any]:
    """Write the nearest Gemma 3 text config."""
    attention = any_attention(architecture)
    full = first_of(GroupQueryAttention, architecture)
    sliding = first_of(SlidingWindowAttention, architecture)
    return {
        **shared_keys(architecture),
        **attention_keys(attention),
        "query_pre_attn_scalar": attention.head_size,
        "rms_norm_eps": architecture.norm_epsilon,
        "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": [
            SLIDING if isinstance(block.mixer, SlidingWindowAttention) else FULL
            for block in architecture.blocks
        ],
        "sliding_window": sliding.window if sliding else 512,
        "rope_parameters": {
            FULL: {"rope_type": "default", "rope_theta": full.rotary_base if full else FULL_BASE},
            SLIDING: {"rope_type": "default", "rope_theta": sliding.rotary_base if sliding else SLIDING_BASE},
        },
    }


def tensors(architecture: Architecture, weights: Weights) -> dict[str, Tensor]:
    """Rename the weights as a Gemma 3 checkpoint names them; its norms' gains are stored as their distance from 1."""
    names = {
        "embedding.weight": "model.embed_tokens.weight",
        "final_norm.weight": "model.norm.weight",
        "head.weight": "lm_head.weight",
    }
    found = renamed(architecture, weights, names, _block)
    return {name: w - 1 if name.endswith("norm.weight") else w for name, w in found.items()}


def _block(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    query, key, value = split_projection(mixer, own)
    return {
        "input_layernorm.weight": own["mixer_norm.weight"],
        "post_attention_layernorm.weight": own["mixer_out_norm.weight"],
        "pre_feedforward_layernorm.weight": own["ffn_norm.weight"],
        "post_feedforward_layernorm.weight": own["ffn_out_norm.weight"],
        **gate_and_up(own, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
        "self_attn.q_proj.weight": query,
        "self_attn.k_proj.weight": key,
        "self_attn.v_proj.weight": value,
        "self_attn.o_proj.weight": own["mixer.out_proj.weight"],
        "self_attn.q_norm.weight": own["mixer.q_norm.weight"],
        "self_attn.k_norm.weight": own["mixer.k_norm.weight"],
    }


GEMMA3_TEXT = Family("gemma3_text", "Gemma3ForCausalLM", DEFAULTS, read, write, tensors)
