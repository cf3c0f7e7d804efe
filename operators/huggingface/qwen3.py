"""Qwen3: grouped-query attention with normed queries and keys, in some sizes with a window in the last layers."""

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
    default_rope,
    first_of,
    gate_and_up,
    renamed,
    shared_keys,
    split_projection,
)
from operators.mixer import Mixer
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.sliding_window_attention import SlidingWindowAttention

FULL, SLIDING = "full_attention", "sliding_attention"
ROTARY_BASE = 1e4
DEFAULTS = {
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128, "rms_norm_eps": 1e-6,
    "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28, "tie_word_embeddings": False,
}  # fmt: skip
NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}


def read(reader: ConfigReader) -> Architecture:
    """Make an Architecture of a Qwen3 config."""
    width, depth = reader.whole("hidden_size"), reader.depth()
    epsilon = reader.number("rms_norm_eps")
    heads = reader.whole("num_attention_heads")
    base, _ = default_rope(reader, ROTARY_BASE)
    shape: dict[str, Any] = {
        "heads": heads,
        "kv_heads": reader.whole("num_key_value_heads", heads),
        "head_size": reader.whole("head_dim"),
        "rotary_base": base,
        "qk_norm_epsilon": epsilon,
    }
    types = _layer_types(reader, depth)
    by_type: dict[str, Mixer] = {FULL: GroupQueryAttention(**shape)}
    if SLIDING in types:
        by_type[SLIDING] = SlidingWindowAttention(**shape, window=reader.whole("sliding_window"))
    reader.drop("sliding_window")
    reader.only("attention_bias", False)
    reader.only("hidden_act", "silu")
    found = Architecture(
        vocab_size=reader.whole("vocab_size"),
        hidden_size=width,
        blocks=blocks_of([by_type[kind] for kind in types], reader.whole("intermediate_size")),
        tie_embeddings=reader.truth("tie_word_embeddings"),
        norm_epsilon=epsilon,
    )
    reader.finish()
    return found


def _layer_types(reader: ConfigReader, depth: int) -> list[str]:
    windowed, first = reader.truth("use_sliding_window"), reader.whole("max_window_layers", least=0)
    if reader.has("layer_types"):
        types = reader.words("layer_types", depth, (FULL, SLIDING))
        if SLIDING in types and not windowed:
            raise ConfigError("use_sliding_window", False, f"layer_types has {SLIDING}; set it to true")
        return types
    return [SLIDING if windowed and i >= first else FULL for i in range(depth)]


def write(architecture: Architecture) -> dict[str, Any]:
    """Write the nearest Qwen3 config."""
    attention = any_attention(architecture)
    sliding = first_of(SlidingWindowAttention, architecture)
    windowed = {"use_sliding_window": True, "sliding_window": sliding.window} if sliding else {}
    return {
        **shared_keys(architecture),
        **attention_keys(attention),
        **windowed,
        "rms_norm_eps": architecture.norm_epsilon,
        "layer_types": [
            SLIDING if isinstance(block.mixer, SlidingWindowAttention) else FULL
            for block in architecture.blocks
        ],
        "rope_parameters": {"rope_type": "default", "rope_theta": attention.rotary_base},
    }


def tensors(architecture: Architecture, weights: Weights) -> dict[str, Tensor]:
    """Rename the weights as a Qwen3 checkpoint names them."""
    return renamed(architecture, weights, NAMES, _block)


def _block(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    query, key, value = split_projection(mixer, own)
    return {
        **norms_and_ffn(own),
        "self_attn.q_proj.weight": query,
        **attention_tensors(own, key, value),
    }


def norms_and_ffn(own: Weights) -> dict[str, Tensor]:
    """Rename a block's norms and its FFN, as Qwen3 and Qwen3.5 name them."""
    return {
        "input_layernorm.weight": own["mixer_norm.weight"],
        "post_attention_layernorm.weight": own["ffn_norm.weight"],
        **gate_and_up(own, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    }


def attention_tensors(own: Weights, key: Tensor, value: Tensor) -> dict[str, Tensor]:
    """Name an attention layer's tensors, the query projection aside, as Qwen3 and Qwen3.5 do."""
    return {
        "self_attn.k_proj.weight": key,
        "self_attn.v_proj.weight": value,
        "self_attn.o_proj.weight": own["mixer.out_proj.weight"],
        "self_attn.q_norm.weight": own["mixer.q_norm.weight"],
        "self_attn.k_norm.weight": own["mixer.k_norm.weight"],
    }


QWEN3 = Family("qwen3", "Qwen3ForCausalLM", DEFAULTS, read, write, tensors)
