"""The values that describe a candidate: an architecture, its blocks and their channel mixers."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from operators.errors import ArchitectureError
from operators.field_checks import require_positive, require_truth, require_whole
from operators.mixer import Mixer

NORM_PLACEMENTS = ("pre", "sandwich")
ACTIVATIONS = ("silu", "gelu_tanh")


@dataclass(frozen=True)
class SwiGLU:
    """Gated feed-forward network: down(activation(gate(x)) * up(x)), hidden width `width`."""

    width: int

    def parameters(self, hidden_size: int) -> int:
        """Count the weights of the gate, up and down projections."""
        return 3 * hidden_size * self.width


@dataclass(frozen=True)
class Block:
    """One layer: a token mixer, then a channel mixer, each with a norm and a residual."""

    mixer: Mixer
    ffn: SwiGLU


@dataclass(frozen=True)
class Architecture:
    """A small language model, complete enough to be built, counted, lowered and trained.

    `norm_placement` is "pre" (a norm before each mixer) or "sandwich" (one before and one after, as in Gemma 3).
    `embedding_scale` multiplies the embedded tokens (Gemma 3 uses the square root of its hidden size). `activation`
    is that of every SwiGLU: "silu", or "gelu_tanh" (GeGLU with the tanh approximation, as in Gemma 3).
    """

    vocab_size: int
    hidden_size: int
    blocks: tuple[Block, ...]
    tie_embeddings: bool = True
    norm_placement: str = "pre"
    norm_epsilon: float = 1e-5
    embedding_scale: float = 1.0
    activation: str = "silu"

    def __post_init__(self) -> None:
        require_whole("vocab_size", self.vocab_size)
        require_whole("hidden_size", self.hidden_size)
        require_truth("tie_embeddings", self.tie_embeddings)
        if not self.blocks:
            raise ArchitectureError("blocks", (), "an architecture needs at least one block")
        if self.norm_placement not in NORM_PLACEMENTS:
            raise ArchitectureError("norm_placement", self.norm_placement, f"use one of {NORM_PLACEMENTS}")
        if self.activation not in ACTIVATIONS:
            raise ArchitectureError("activation", self.activation, f"use one of {ACTIVATIONS}")
        require_positive("norm_epsilon", self.norm_epsilon)
        require_positive("embedding_scale", self.embedding_scale)
        for block in self.blocks:
            require_whole("ffn.width", block.ffn.width)
            block.mixer.check(self.hidden_size)

    @property
    def layout(self) -> str:
        """The mixers' letters from the first block to the last, such as ``CCACCACCACACACAC``."""
        return "".join(block.mixer.code for block in self.blocks)

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of the canonical document: equal candidates have equal digests."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the architecture as plain JSON values; `operators.notation.architecture_from_dict` reads them."""
        return {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "blocks": [_block_to_dict(block) for block in self.blocks],
            "tie_embeddings": self.tie_embeddings,
            "norm_placement": self.norm_placement,
            "norm_epsilon": self.norm_epsilon,
            "embedding_scale": self.embedding_scale,
            "activation": self.activation,
        }


def _block_to_dict(block: Block) -> dict[str, Any]:
    mixer = {"kind": block.mixer.name, **asdict(block.mixer)}  # type: ignore[call-overload]
    return {"mixer": mixer, "ffn": {"kind": "swiglu", "width": block.ffn.width}}
