"""Stacks of equal blocks, by which a single mixer is timed: what a further copy adds is that mixer's cost."""

from operators.architecture import Architecture, Block, SwiGLU
from operators.errors import ArchitectureError
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention

STACK_VOCABULARY = 1024
"""Small, so that the head weighs no more than a block; it cancels in the difference anyway."""
STACK_FFN_WIDTH = 32
"""The narrowest that a quantisation block allows: at width 1024, 2 % of a short conv's weights."""
WIDTH_STEP = 128
WINDOW = 256


def mixers_of_width(hidden_size: int) -> tuple[Mixer, ...]:
    """Return the five mixers as models of this width have them, short conv first.

    At 1024 attention is that of LFM2-350M; the recurrent ones hold heads of 128 that fill the width.
    """
    if hidden_size < WIDTH_STEP or hidden_size % WIDTH_STEP:
        way_out = f"use a multiple of {WIDTH_STEP}, so that heads of that size fill it"
        raise ArchitectureError("hidden_size", hidden_size, way_out)
    heads, kv_heads, wide_heads = hidden_size // 64, hidden_size // 128, hidden_size // 128
    return (
        ShortConv(3),
        GroupQueryAttention(heads=heads, kv_heads=kv_heads, head_size=64),
        SlidingWindowAttention(heads=heads, kv_heads=kv_heads, head_size=64, window=WINDOW),
        GatedDeltaNet(key_heads=wide_heads, value_heads=wide_heads, key_head_size=128, value_head_size=128),
        LinearAttention(heads=wide_heads, key_head_size=128, value_head_size=128),
    )


def stack_of(mixer: Mixer, copies: int, hidden_size: int) -> Architecture:
    """Return a model of `copies` blocks that hold this mixer; each has weights and a state of its own."""
    block = Block(mixer, SwiGLU(STACK_FFN_WIDTH))
    return Architecture(STACK_VOCABULARY, hidden_size, (block,) * copies)
