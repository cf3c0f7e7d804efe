"""Prepares a sequence for the recurrent mixers, which work through chunks of tokens in parallel, in fp32 or better."""

import torch
from torch import Tensor
from torch.nn import functional


def at_least_fp32(x: Tensor) -> Tensor:
    """Return 16-bit values in fp32: sums of decays drift in 16 bits, and a triangular solve has no such kernel."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def in_chunks(x: Tensor, chunk_tokens: int) -> Tensor:
    """Cut (batch, heads, tokens, size) into (batch, heads, chunks, chunk_tokens, size), the last filled with zeros."""
    missing = -x.shape[2] % chunk_tokens
    return functional.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, chunk_tokens))  # type: ignore[no-untyped-call,no-any-return]
