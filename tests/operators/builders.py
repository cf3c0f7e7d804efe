"""Small architectures for tests."""

from operators.architecture import Architecture, Block, SwiGLU
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention

SMALL: dict[str, Mixer] = {
    "C": ShortConv(kernel_size=3),
    "A": GroupQueryAttention(heads=4, kv_heads=2, head_size=32),
    "S": SlidingWindowAttention(heads=4, kv_heads=2, head_size=32, window=16),
    "D": GatedDeltaNet(key_heads=2, value_heads=4, key_head_size=32, value_head_size=32),
    "L": LinearAttention(heads=4, key_head_size=32, value_head_size=32),
}

VARIANTS: list[Mixer] = [
    *SMALL.values(),
    ShortConv(kernel_size=7),
    GroupQueryAttention(heads=2, kv_heads=2, head_size=64, qk_norm=False),
    GroupQueryAttention(heads=4, kv_heads=2, head_size=32, output_gate="element", rotary_share=0.5),
    GroupQueryAttention(
        heads=4, kv_heads=1, head_size=32, output_gate="head", rotary_share=0.5, rotary_spread=True
    ),
    GroupQueryAttention(heads=2, kv_heads=1, head_size=64, qk_norm=False, rotary_share=0.0),
    SlidingWindowAttention(heads=4, kv_heads=2, head_size=32, output_gate="head", window=16),
    SlidingWindowAttention(heads=4, kv_heads=1, head_size=32, window=1),
    LinearAttention(heads=2, key_head_size=16, value_head_size=48, gated=False),
]


def an_architecture(layout: str = "CASDL", **fields: object) -> Architecture:
    values: dict[str, object] = {"vocab_size": 512, "hidden_size": 128, **fields}
    return Architecture(blocks=tuple(Block(SMALL[code], SwiGLU(256)) for code in layout), **values)  # type: ignore[arg-type]


def of_mixers(*mixers: Mixer, ffn_width: int = 256, **fields: object) -> Architecture:
    values: dict[str, object] = {"vocab_size": 512, "hidden_size": 128, **fields}
    return Architecture(blocks=tuple(Block(mixer, SwiGLU(ffn_width)) for mixer in mixers), **values)  # type: ignore[arg-type]
