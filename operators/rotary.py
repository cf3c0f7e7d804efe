"""Rotary position embedding (Su et al. 2021) in the half-split form that ONNX Runtime's GroupQueryAttention uses."""

from dataclasses import dataclass

import torch
from torch import Tensor

ROTATED_STEP = 16
"""Elements of a head that rotate come in multiples of this: the kernel rotates eight pairs at once."""


@dataclass(frozen=True)
class Rotation:
    """Which elements of a head rotate with the position, and how fast.

    A `share` of 1 rotates all of them and 0 none (NoPE). In between, the first `share` of the head rotates as if it
    were the whole head (GLM, Qwen3.5); `spread` instead pairs elements across the whole head and stops its slow
    pairs ("proportional": LFM3, Gemma 4).
    """

    head_size: int
    base: float
    share: float = 1.0
    spread: bool = False

    @property
    def rotated_size(self) -> int:
        """Elements of a head that the rotation reads and writes."""
        return self.head_size if self.spread and self.share > 0 else round(self.head_size * self.share)

    @property
    def frequencies(self) -> list[float]:
        """Radians per token of each pair; empty without rotation."""
        size = self.rotated_size
        turning = round(self.head_size * self.share) // 2
        return [self.base ** (-2 * i / size) if i < turning else 0.0 for i in range(size // 2)]


def rotary_angles(positions: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Return fp32 cosines and sines of shape (tokens, rotated size / 2) for integer positions (tokens,)."""
    rates = torch.tensor(rotation.frequencies, dtype=torch.float32, device=positions.device)
    angles = positions.float()[:, None] * rates  # (t, rotated / 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate (batch, heads, tokens, head_size): pairs are element i of the rotated part's halves; the rest passes."""
    rotated_size = 2 * cosines.shape[-1]
    first, second = x[..., :rotated_size].chunk(2, dim=-1)
    parts = [first * cosines - second * sines, second * cosines + first * sines]
    if rotated_size < x.shape[-1]:
        parts.append(x[..., rotated_size:])
    return torch.cat(parts, dim=-1)
