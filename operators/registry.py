"""The registry of token mixers: the one place where a mixer becomes known to Loopfront."""

from collections.abc import Mapping
from types import MappingProxyType

from operators.mixer import Operator
from operators.mixers.gated_delta_net import GATED_DELTA_NET
from operators.mixers.grouped_query_attention import GROUPED_QUERY_ATTENTION
from operators.mixers.linear_attention import LINEAR_ATTENTION
from operators.mixers.short_conv import SHORT_CONV
from operators.mixers.sliding_window_attention import SLIDING_WINDOW_ATTENTION

Registry = Mapping[str, Operator]

MIXERS: Registry = MappingProxyType(
    {
        "short_conv": SHORT_CONV,
        "grouped_query_attention": GROUPED_QUERY_ATTENTION,
        "sliding_window_attention": SLIDING_WINDOW_ATTENTION,
        "gated_delta_net": GATED_DELTA_NET,
        "linear_attention": LINEAR_ATTENTION,
    }
)


def codes(registry: Registry = MIXERS) -> dict[str, str]:
    """Map every mixer's layout letter to its name."""
    return {operator.config.code: name for name, operator in registry.items()}
