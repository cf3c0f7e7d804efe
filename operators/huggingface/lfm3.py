"""LFM3: short convolutions, sliding windows and full attention, gated by head, between sandwich norms."""

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


def read(reader: ConfigReader) -> Architecture:
    """Make an Architecture of an LFM3 config."""
    width, depth = reader.whole("hidden_size"), reader.whole("num_hidden_layers")
    epsilon = reader.number("norm_eps", reader.number("rms_norm_eps", 1e-5))
    by_type = _mixers(reader, width, epsilon)
    mixers = [by_type[kind] for kind in _layer_types(reader, depth)]
    sandwich = reader.truth("use_sandwich_norm", True)
    for key in ("conv_bias", "attention_bias"):
        reader.only(key, False)
    found = Architecture(
        vocab_size=reader.whole("vocab_size"),
        hidden_size=width,
        blocks=blocks_of(mixers, reader.whole("intermediate_size")),
        tie_embeddings=reader.truth("tie_word_embeddings", True),
        norm_placement="sandwich" if sandwich else "pre",
        norm_epsilon=epsilon,
    )
    reader.finish()
    return found


def _mixers(reader: ConfigReader, width: int, epsilon: float) -> dict[str, Mixer]:
    heads, head_size = read_heads(reader, width)
    gate = "head" if reader.truth("use_attention_gate", True) else "none"
    shape: dict[str, Any] = {
        "heads": heads,
        "kv_heads": reader.whole("num_key_value_heads", heads),
        "head_size": head_size,
        "qk_norm_epsilon": epsilon,
        "output_gate": gate,
    }
    full, sliding = (1e6, 0.5), (1e4, 1.0)
    if reader.has("rope_parameters"):
        ropes = reader.part("rope_parameters")
        if ropes.has(FULL):
            full = rope_part(ropes.part(FULL), full[0], "proportional")
        if ropes.has(SLIDING):
            sliding = rope_part(ropes.part(SLIDING), sliding[0])
        ropes.finish()
    window = reader.whole("sliding_window", 256)
    return {
        FULL: GroupQueryAttention(**shape, rotary_base=full[0], rotary_share=full[1], rotary_spread=True),
        SLIDING: SlidingWindowAttention(
            **shape, rotary_base=sliding[0], rotary_share=sliding[1], window=window
        ),
        CONV: ShortConv(reader.whole("conv_L_cache", 7)),
    }


def _layer_types(reader: ConfigReader, depth: int) -> list[str]:
    if reader.has("layer_types"):
        return reader.words("layer_types", depth, (CONV, FULL, SLIDING))
    return [FULL if i % 4 == 2 else SLIDING if i % 4 == 0 and i > 0 else CONV for i in range(depth)]


def write(architecture: Architecture) -> dict[str, Any]:
    """Write the nearest LFM3 config."""
    attention = any_attention(architecture)
    full = first_of(GroupQueryAttention, architecture, attention)
    sliding = first_of(SlidingWindowAttention, architecture)
    conv = first_of(ShortConv, architecture, ShortConv(7))
    ropes = {FULL: _rope(full, "proportional")}
    if sliding is not None:
        ropes[SLIDING] = _rope(sliding, "default")
    return {
        **shared_keys(architecture),
        **attention_keys(attention),
        "norm_eps": architecture.norm_epsilon,
        "conv_L_cache": conv.kernel_size,
        "layer_types": [_type_of(block.mixer) for block in architecture.blocks],
        "sliding_window": sliding.window if sliding else 256,
        "use_sandwich_norm": architecture.norm_placement == "sandwich",
        "use_attention_gate": attention.output_gate == "head",
        "rope_parameters": ropes,
    }


def _rope(attention: GroupQueryAttention, kind: str) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": attention.rotary_base}
    return rope | ({"partial_rotary_factor": attention.rotary_share} if kind == "proportional" else {})


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


LFM3 = Family("lfm3", "Lfm3ForCausalLM", read, write, tensors)
