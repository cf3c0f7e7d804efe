"""Rotary position embedding in the half-split form that ONNX Runtime's GroupQueryAttention uses."""

import torch
from torch import Tensor


def rotary_angles(positions: Tensor, head_size: int, base: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of shape (tokens, head_size / 2) for integer positions (tokens,)."""
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=positions.device) / head_size
    angles = positions.float()[:, None] * base**-exponents  # (t, h/2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate (batch, heads, tokens, head_size): pairs are element i of the first half and of the second."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)
