"""Closed-form costs of an architecture: parameters, weight bytes, state bytes and operations per token."""

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
    body = (count.mixers + count.ffns) * (precision.bits / 8 + 4 / precision.block_size)
    return embedding + int(body) + count.norms * 4


def state_bytes(architecture: Architecture, context_tokens: int) -> int:
    """Bytes of fp32 state (KV cache, recurrent and conv states) of one sequence of `context_tokens` tokens."""
    d = architecture.hidden_size
    return sum(block.mixer.state_bytes(d, context_tokens) for block in architecture.blocks)


def flops_per_token(architecture: Architecture, context_tokens: int) -> int:
    """Floating-point operations of one decode step at a context of `context_tokens` tokens, lm_head included."""
    head = 2 * architecture.vocab_size * architecture.hidden_size
    return head + sum(
        _block_flops(block, architecture.hidden_size, context_tokens) for block in architecture.blocks
    )


def _block_flops(block: Block, hidden_size: int, context_tokens: int) -> int:
    return block.mixer.flops_per_token(hidden_size, context_tokens) + 2 * block.ffn.parameters(hidden_size)
