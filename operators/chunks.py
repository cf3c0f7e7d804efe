"""Cuts a sequence into the chunks of tokens that recurrent mixers work through in parallel."""

from torch import Tensor
from torch.nn import functional


def in_chunks(x: Tensor, chunk_tokens: int) -> Tensor:
    """Cut (batch, heads, tokens, size) into (batch, heads, chunks, chunk_tokens, size), the last filled with zeros."""
    missing = -x.shape[2] % chunk_tokens
    return functional.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, chunk_tokens))  # type: ignore[no-untyped-call,no-any-return]
