"""The sentinel: the one fixed architecture that every timing is paired with."""

from operators.architecture import Architecture, Block, SwiGLU
from operators.mixer import Mixer
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.short_conv import ShortConv
from operators.precision import Precision

SENTINEL_VERSION = "3"
"""Change it with anything below: calibrations of another version are never compared."""

SENTINEL_PRECISION = Precision(bits=4, block_size=32)
_LAYOUT = "CCACCACCACCA"
_FFN_WIDTH = 1728


def sentinel() -> Architecture:
    """Give the sentinel: 60 M parameters at int4, larger than the caches, of both memory- and compute-bound parts."""
    mixers: dict[str, Mixer] = {
        "C": ShortConv(kernel_size=3),
        "A": GroupQueryAttention(heads=8, kv_heads=2, head_size=64),
    }
    blocks = tuple(Block(mixers[code], SwiGLU(_FFN_WIDTH)) for code in _LAYOUT)
    return Architecture(vocab_size=32768, hidden_size=512, blocks=blocks)
