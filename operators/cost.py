"""Closed-form costs of an architecture: parameters, weight bytes, state bytes and operations per token."""

from collections import Counter
from dataclasses import dataclass

from operators.architecture import Architecture, Block
from operators.precision import Precision


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of an architecture by part; `effective` is everything outside the embeddings."""

    embedding: int
    mixers: int
    ffns: int
    norms: int

    @property
    def effective(self) -> int:
        """Non-embedding parameters."""
        return self.mixers + self.ffns + self.norms

    @property
    def total(self) -> int:
        """All parameters, tied embeddings counted once."""
        return self.embedding + self.effective

    @property
    def embedding_ratio(self) -> float:
        """Embedding parameters / total parameters."""
        return self.embedding / self.total


def parameters(architecture: Architecture) -> ParameterCount:
    """Count the trainable parameters of an architecture."""
    d = architecture.hidden_size
    tables = 1 if architecture.tie_embeddings else 2
    return ParameterCount(
        embedding=tables * architecture.vocab_size * d,
        mixers=sum(block.mixer.parameters(d) for block in architecture.blocks),
        ffns=sum(block.ffn.parameters(d) for block in architecture.blocks),
        norms=norm_parameters(len(architecture.blocks), d, architecture.norm_placement),
    )


def norm_parameters(depth: int, hidden_size: int, norm_placement: str = "pre") -> int:
    """Count the weights of the norms around the mixers and of the final norm."""
    per_block = 4 if norm_placement == "sandwich" else 2
    return (per_block * depth + 1) * hidden_size


def weight_bytes(architecture: Architecture, precision: Precision) -> int:
    """Bytes of all weights as stored at `precision`, small fp32 tensors included approximately."""
    d = architecture.hidden_size
    tables = 1 if architecture.tie_embeddings else 2
    count = parameters(architecture)
    embedding = tables * precision.matrix_bytes(architecture.vocab_size, d)
    body = precision.matrix_bytes(1, count.mixers + count.ffns)
    return embedding + body + count.norms * 4


def state_bytes(architecture: Architecture, context_tokens: int) -> int:
    """Bytes of fp32 state (KV cache, recurrent and conv states) of one sequence of `context_tokens` tokens."""
    d = architecture.hidden_size
    return sum(block.mixer.state_bytes(d, context_tokens) for block in architecture.blocks)


def decode_bytes(architecture: Architecture, precision: Precision, context_tokens: int) -> int:
    """Bytes that one decode step moves at a context: every weight that it multiplies by, and the state.

    Over the memory's bandwidth it is the least time that a step can take.
    """
    d = architecture.hidden_size
    moved = sum(block.mixer.state_traffic_bytes(d, context_tokens) for block in architecture.blocks)
    return _multiplied_bytes(architecture, precision) + moved


def prefill_bytes(architecture: Architecture, precision: Precision, prompt_tokens: int) -> int:
    """Bytes that a prefill must move: every weight once, and the state that it leaves; activations not counted."""
    return _multiplied_bytes(architecture, precision) + state_bytes(architecture, prompt_tokens)


def prefill_flops(architecture: Architecture, prompt_tokens: int) -> int:
    """Floating-point operations of a prefill; the lm_head multiplies the last position alone."""
    d = architecture.hidden_size
    head = 2 * architecture.vocab_size * d
    return head + sum(
        count * _block_flops(block, d, seen)
        for block, count in Counter(architecture.blocks).items()
        for seen in range(1, prompt_tokens + 1)
    )


def _multiplied_bytes(architecture: Architecture, precision: Precision) -> int:
    """Bytes of the weights without an untied embedding table, of which a step reads one row."""
    looked_up = precision.matrix_bytes(architecture.vocab_size, architecture.hidden_size)
    return weight_bytes(architecture, precision) - (0 if architecture.tie_embeddings else looked_up)


def flops_per_token(architecture: Architecture, context_tokens: int) -> int:
    """Floating-point operations of one decode step at a context of `context_tokens` tokens, lm_head included."""
    head = 2 * architecture.vocab_size * architecture.hidden_size
    return head + sum(
        _block_flops(block, architecture.hidden_size, context_tokens) for block in architecture.blocks
    )


def _block_flops(block: Block, hidden_size: int, context_tokens: int) -> int:
    return block.mixer.flops_per_token(hidden_size, context_tokens) + 2 * block.ffn.parameters(hidden_size)
