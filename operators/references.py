"""Published architectures as values, for comparison and as starting points (sizes from their public configs)."""

from collections.abc import Callable, Sequence
from typing import Any

from operators.architecture import Architecture, Block, SwiGLU
from operators.errors import NotationError
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention

LFM2_ATTENTION_BLOCKS = (2, 5, 8, 10, 12, 14)
GEMMA_3_270M_GLOBAL_BLOCKS = (5, 11, 17)


def _lfm2(hidden_size: int, heads: int, ffn_width: int) -> Architecture:
    attention = GroupQueryAttention(heads, kv_heads=8, head_size=64, qk_norm_epsilon=1e-5)
    mixers = [attention if i in LFM2_ATTENTION_BLOCKS else ShortConv(3) for i in range(16)]
    return _architecture(65536, hidden_size, mixers, ffn_width)


def _gemma_3_270m() -> Architecture:
    local = SlidingWindowAttention(heads=4, kv_heads=1, head_size=256, rotary_base=1e4, window=512)
    full = GroupQueryAttention(heads=4, kv_heads=1, head_size=256)
    mixers = [full if i in GEMMA_3_270M_GLOBAL_BLOCKS else local for i in range(18)]
    blocks = tuple(Block(mixer, SwiGLU(2048)) for mixer in mixers)
    return Architecture(
        262144, 640, blocks, norm_placement="sandwich", norm_epsilon=1e-6, embedding_scale=640**0.5,
        activation="gelu_tanh",
    )  # fmt: skip


def _lfm3_1700m() -> Architecture:
    shape: dict[str, Any] = {"heads": 16, "kv_heads": 4, "head_size": 128, "qk_norm_epsilon": 1e-5}
    shape["output_gate"] = "head"
    full = GroupQueryAttention(**shape, rotary_share=0.5, rotary_spread=True)
    local = SlidingWindowAttention(**shape, rotary_base=1e4, window=256)
    conv = ShortConv(7)
    mixers = [full if i % 4 == 2 else local if i % 4 == 0 and i > 0 else conv for i in range(24)]
    blocks = tuple(Block(mixer, SwiGLU(7680)) for mixer in mixers)
    return Architecture(128000, 2048, blocks, norm_placement="sandwich")


def _qwen3_600m() -> Architecture:
    attention = GroupQueryAttention(heads=16, kv_heads=8, head_size=128)
    return _architecture(151936, 1024, [attention] * 28, 3072, norm_epsilon=1e-6)


def _qwen35_800m() -> Architecture:
    """The text part of Qwen3.5-0.8B."""
    delta = GatedDeltaNet(key_heads=16, value_heads=16, key_head_size=128, value_head_size=128)
    attention = GroupQueryAttention(
        heads=8, kv_heads=2, head_size=256, rotary_base=1e7, rotary_share=0.25, output_gate="element"
    )
    mixers = [attention if i % 4 == 3 else delta for i in range(24)]
    return _architecture(248320, 1024, mixers, 3584, norm_epsilon=1e-6)


def _architecture(
    vocab_size: int, hidden_size: int, mixers: Sequence[Mixer], ffn_width: int, norm_epsilon: float = 1e-5
) -> Architecture:
    blocks = tuple(Block(mixer, SwiGLU(ffn_width)) for mixer in mixers)
    return Architecture(vocab_size, hidden_size, blocks, norm_epsilon=norm_epsilon)


REFERENCES: dict[str, Callable[[], Architecture]] = {
    "lfm2-350m": lambda: _lfm2(1024, 16, 4608),
    "lfm2-700m": lambda: _lfm2(1536, 24, 6912),
    "gemma-3-270m": _gemma_3_270m,
    "lfm3-1.7b": _lfm3_1700m,
    "qwen3-0.6b": _qwen3_600m,
    "qwen3.5-0.8b": _qwen35_800m,
}


def reference(name: str) -> Architecture:
    """Return a published architecture by name; raise NotationError for a name that is not known."""
    if name not in REFERENCES:
        raise NotationError(f"reference {name!r} is not known; known are {', '.join(REFERENCES)}")
    return REFERENCES[name]()
