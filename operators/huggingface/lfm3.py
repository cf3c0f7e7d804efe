"""LFM3: short convolutions, sliding windows and full attention, gated by head, between sandwich norms."""

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
from operators.huggingface.lfm2 import NAMES, conv_tensors
from operators.mixer import Mixer
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention

FULL, SLIDING, CONV = "full_attention", "sliding_attention", "conv"
FULL_BASE, FULL_SHARE, SLIDING_BASE = 1e6, 0.5, 1e4
PROPORTIONAL = "proportional"
NORM_EPSILON = 1e-5
DEFAULTS = {
    "vocab_size": 128000, "hidden_size": 2048, "intermediate_size": 7680, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "conv_L_cache": 7, "sliding_window": 256,
    "use_sandwich_norm": True, "use_attention_gate": True, "tie_word_embeddings": True,
}  # fmt: skip


def read(reader: ConfigReader) -> Architecture:
    """Make an Architecture of an LFM3 config."""
    width, depth = reader.whole("hidden_size"), reader.depth()
    epsilon = _norm_epsilon(reader)
    by_type = _mixers(reader, width, epsilon)
    mixers = [by_type[kind] for kind in _layer_types(reader, depth)]
    sandwich = reader.truth("use_sandwich_norm")
    for key in ("conv_bias", "attention_bias"):
        reader.only(key, False)
    found = Architecture(
        vocab_size=reader.whole("vocab_size"),
        hidden_size=width,
        blocks=blocks_of(mixers, reader.whole("intermediate_size")),
        tie_embeddings=reader.truth("tie_word_embeddings"),
        norm_placement="sandwich" if sandwich else "pre",
        norm_epsilon=epsilon,
    )
    reader.finish()
    return found


def _norm_epsilon(reader: ConfigReader) -> float:
    """Take it in either of its two spellings, or in both where they agree."""
    other = reader.number("rms_norm_eps", NORM_EPSILON) if reader.has("rms_norm_eps") else None
    epsilon = reader.number("norm_eps", other or NORM_EPSILON)
    if other not in (None, epsilon):
        raise ConfigError("rms_norm_eps", other, f"norm_eps is another name for it and says {epsilon}")
    return epsilon


def _mixers(reader: ConfigReader, width: int, epsilon: float) -> dict[str, Mixer]:
    heads, head_size = read_heads(reader, width)
    gate = "head" if reader.truth("use_attention_gate") else "none"
    shape: dict[str, Any] = {
        "heads": heads,
        "kv_heads": reader.whole("num_key_value_heads"),
        "head_size": head_size,
        "qk_norm_epsilon": epsilon,
        "output_gate": gate,
    }
    full, sliding = _rotations(reader)
    window = reader.whole("sliding_window")
    return {
        FULL: GroupQueryAttention(**shape, **full),
        SLIDING: SlidingWindowAttention(**shape, **sliding, window=window),
        CONV: ShortConv(reader.whole("conv_L_cache")),
    }


def _rotations(reader: ConfigReader) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take the rotary fields of full and of sliding attention."""
    reader.only("rope_scaling")
    base = reader.number("rope_theta", FULL_BASE)
    if not reader.has("rope_parameters"):
        return _rotary_fields(FULL_BASE, FULL_SHARE), _rotary_fields(SLIDING_BASE, 1.0)
    ropes = reader.part("rope_parameters")
    full, sliding = (ropes.part(kind) if ropes.has(kind) else ConfigReader({}) for kind in (FULL, SLIDING))
    ropes.finish()
    if full.says("rope_type", "default"):
        return _rotary_fields(*rope_part(full, base)), _rotary_fields(*rope_part(sliding, base))
    return _rotary_fields(*rope_part(full, base, PROPORTIONAL, 1.0)), _rotary_fields(
        *rope_part(sliding, base)
    )


def _rotary_fields(base: float, share: float) -> dict[str, Any]:
    """Name the fields; a whole head turns alike, spread or not."""
    return {"rotary_base": base, "rotary_share": share, "rotary_spread": share < 1}


def _layer_types(reader: ConfigReader, depth: int) -> list[str]:
    if reader.has("layer_types"):
        return reader.words("layer_types", depth, (CONV, FULL, SLIDING))
    return [FULL if i % 4 == 2 else SLIDING if i % 4 == 0 and i > 0 else CONV for i in range(depth)]


def write(architecture: Architecture) -> dict[str, Any]:
    """Write the nearest LFM3 config."""
    attention = any_attention(architecture)
    full = first_of(GroupQueryAttention, architecture, attention)
    sliding = first_of(
        SlidingWindowAttention, architecture, SlidingWindowAttention(1, 1, rotary_base=SLIDING_BASE)
    )
    conv = first_of(ShortConv, architecture, ShortConv(7))
    return {
        **shared_keys(architecture),
        **attention_keys(attention),
        "norm_eps": architecture.norm_epsilon,
        "conv_L_cache": conv.kernel_size,
        "layer_types": [_type_of(block.mixer) for block in architecture.blocks],
        "sliding_window": sliding.window,
        "use_sandwich_norm": architecture.norm_placement == "sandwich",
        "use_attention_gate": attention.output_gate == "head",
        "rope_parameters": {FULL: _rope(full), SLIDING: _rope(sliding)},
    }


def _rope(attention: GroupQueryAttention) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": attention.rotary_base}
    if not attention.rotary_spread:
        return rope
    return rope | {"rope_type": PROPORTIONAL, "partial_rotary_factor": attention.rotary_share}


def _type_of(mixer: Mixer) -> str:
    if isinstance(mixer, SlidingWindowAttention):
        return SLIDING
    return FULL if isinstance(mixer, GroupQueryAttention) else CONV


def tensors(architecture: Architecture, weights: Weights) -> dict[str, Tensor]:
    """Rename the weights as an LFM3 checkpoint names them."""
    return renamed(architecture, weights, NAMES, _block)


def _block(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    norms = {
        "operator_norm.weight": "mixer_norm.weight",
        "ffn_norm.weight": "ffn_norm.weight",
        "post_operator_norm.weight": "mixer_out_norm.weight",
        "post_ffn_norm.weight": "ffn_out_norm.weight",
    }
    return {
        **{theirs: own[ours] for theirs, ours in norms.items() if ours in own},
        **gate_and_up(own, "feed_forward.w1", "feed_forward.w3", "feed_forward.w2"),
        **(_attention(mixer, own) if isinstance(mixer, GroupQueryAttention) else conv_tensors(own)),
    }


def _attention(mixer: Mixer, own: Weights) -> dict[str, Tensor]:
    names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.g_proj")
    parts = split_projection(mixer, own)
    return {
        **{f"{name}.weight": part for name, part in zip(names, parts, strict=False)},
        "self_attn.o_proj.weight": own["mixer.out_proj.weight"],
        "self_attn.q_norm.weight": own["mixer.q_norm.weight"],
        "self_attn.k_norm.weight": own["mixer.k_norm.weight"],
    }


LFM3 = Family("lfm3", "Lfm3ForCausalLM", DEFAULTS, read, write, tensors)
