"""Compares what was written with what it was written from: same architecture, same weights, same logits."""

import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from operators.architecture import Architecture
from operators.errors import ExportError
from operators.model import LanguageModel

CHECK_TOKENS = 24
LARGEST_DIFFERENCE = 1e-4


def load_source(path: Path) -> ModuleType:
    """Execute a Python file under a name of its own; an import would leave its bytecode in the folder."""
    name = f"loopfront_export_{abs(hash(path))}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    finally:
        del sys.modules[name]
    return module


def check_tokens(architecture: Architecture) -> Tensor:
    """Give two sequences of token ids to compare logits on: (2, CHECK_TOKENS)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, architecture.vocab_size, (2, CHECK_TOKENS), generator=generator)


def expected_logits(model: LanguageModel) -> Tensor:
    """Return the logits of the model that is exported for `check_tokens`."""
    with torch.inference_mode():
        return model(check_tokens(model.architecture))  # type: ignore[no-any-return]


def require_equal(what: str, found: Tensor, expected: Tensor) -> None:
    """Raise ExportError where logits differ by more than fp32 rounding."""
    difference = float((found.detach() - expected).abs().max() / expected.abs().max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportError(
            f"{what}: read back, its logits differ by {difference:.2g} of the largest: a bug of ours"
        )


def require_same_weights(what: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise ExportError where a tensor is missing or differs in any bit."""
    wrong = [name for name in expected if name not in found or not torch.equal(found[name], expected[name])]
    if wrong or len(found) != len(expected):
        raise ExportError(
            f"{what}: read back, {', '.join(wrong) or 'the list of tensors'} differs: is the disk all right?"
        )
