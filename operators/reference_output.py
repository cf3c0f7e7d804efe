"""The logits that a candidate must produce: torch on the same pool weights, rounding activations as the kernel does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from operators.architecture import Architecture
from operators.graph import Placement
from operators.lowering import LoweredGraph
from operators.model import LanguageModel
from operators.pool import region_bytes, region_floats
from operators.precision import Precision
from operators.registry import MIXERS, Registry


def expected_logits(  # noqa: PLR0913, PLR0917 - everything that logits depend on
    architecture: Architecture,
    lowered: LoweredGraph,
    precision: Precision,
    pool_seed: int,
    prompt_ids: Sequence[int],
    decode_ids: Sequence[int],
    logit_indices: Sequence[int],
    accuracy_level: int = 4,
) -> list[list[float]]:
    """Return sampled logits after the prompt and after each of `decode_ids`, in fp32.

    `accuracy_level` is the graph's: at 4 the inputs of quantised projections are rounded as the kernel does. The
    whole sequence goes through the parallel form once, so a wrong state in the graph's decode shows.
    """
    model = model_from_pool(architecture, lowered, precision, pool_seed)
    if precision.is_quantised and accuracy_level == 4:
        _round_activations(model, precision.block_size)
    ids = torch.tensor([[*prompt_ids, *decode_ids]])
    with torch.inference_mode():
        x = model.embed(ids)
        for block in model.blocks:
            x = block(x)
        logits = model.logits(x[:, len(prompt_ids) - 1 :])[0]  # (1 + decoded, vocabulary)
    return logits[:, list(logit_indices)].tolist()


def model_from_pool(
    architecture: Architecture,
    lowered: LoweredGraph,
    precision: Precision,
    pool_seed: int,
    registry: Registry = MIXERS,
) -> LanguageModel:
    """Return the torch model whose weights are the pool's, dequantised to fp32."""
    with _NothingDrawn():
        model = LanguageModel(architecture, registry)
    weights = {
        placement.parameter: torch.from_numpy(placed_values(placement, precision, pool_seed))
        for placement in lowered.placements
    }
    shaped = {name: weights[name].view(parameter.shape) for name, parameter in model.named_parameters()}
    model.load_state_dict(shaped, strict=True, assign=True)
    return model


class _NothingDrawn(TorchFunctionMode):
    """Leaves memory that is to be drawn at random as it is: the pool's weights replace it.

    The meta device would do the same, but a draw on it imports torch's compiler first, for 1.5 s.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Return the tensor of a drawing function unchanged, and call any other function."""
        if func.__name__ in ("uniform_", "normal_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _round_activations(model: LanguageModel, block_size: int) -> None:
    """Round the input of every projection to int8 per block, as MatMulNBits does at accuracy level 4.

    Without it the error of int8 activations grows to a cosine of 0.96 in 15 recurrent blocks and hides real mistakes.
    """

    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        return round_to_int8(inputs[0], block_size)

    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(before)
    model.final_norm.register_forward_hook(lambda _module, _inputs, out: round_to_int8(out, block_size))


def round_to_int8(x: Tensor, block_size: int) -> Tensor:
    """Round every block of the last axis to 255 levels between its largest magnitudes."""
    blocks = x.unflatten(-1, (-1, block_size))  # type: ignore[no-untyped-call]
    scales = blocks.abs().amax(dim=-1, keepdim=True) / 127
    scales = torch.where(scales == 0, 1.0, scales)
    return (torch.round(blocks / scales) * scales).flatten(-2)


def placed_values(placement: Placement, precision: Precision, pool_seed: int) -> NDArray[np.float32]:
    """Return a placed tensor's values: fp32 as they are, or (code - zero point) * scale."""
    if placement.scales is None:
        return region_floats(pool_seed, placement.region).reshape(placement.shape)
    rows, columns = placement.shape
    codes = unpack(region_bytes(pool_seed, placement.region), precision.bits).reshape(
        rows, -1, precision.block_size
    )
    scales = region_floats(pool_seed, placement.scales).reshape(rows, -1, 1)
    centred = codes.astype(np.float32) - np.float32(1 << (precision.bits - 1))
    return (centred * scales).reshape(rows, columns)


def unpack(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return one code per weight; int4 holds two in a byte, the low half first."""
    if bits == 8:
        return packed
    return np.stack([packed & 0x0F, packed >> 4], axis=-1).reshape(-1)
