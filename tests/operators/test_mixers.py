import math

import pytest
import torch

from operators.errors import ArchitectureError
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet, chunked_gated_delta, delta_step
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention
from operators.registry import MIXERS, codes
from tests.operators.builders import VARIANTS

HIDDEN = 64


def a_module(config: Mixer, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    torch.manual_seed(3)
    module: torch.nn.Module = MIXERS[config.name].module(config, HIDDEN)
    return module.to(dtype)


@pytest.mark.parametrize("config", VARIANTS, ids=str)
@pytest.mark.parametrize("tokens", [1, 7, 33, 75])
def test_the_parallel_form_equals_the_naive_recurrence_in_outputs_and_gradients(
    config: Mixer, tokens: int
) -> None:
    module = a_module(config)
    naive = MIXERS[config.name].naive
    fast_input = torch.randn(2, tokens, HIDDEN, dtype=torch.float64, requires_grad=True)
    slow_input = fast_input.detach().clone().requires_grad_()
    fast, slow = module(fast_input), naive(module, slow_input)
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-10)
    fast_gradient, slow_gradient = (
        torch.autograd.grad(out.square().sum(), [x, *module.parameters()])
        for out, x in [(fast, fast_input), (slow, slow_input)]
    )
    for a, b in zip(fast_gradient, slow_gradient, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_in_single_precision_outputs_and_gradients_agree_too(config: Mixer) -> None:
    module = a_module(config, torch.float32)
    fast_input = torch.randn(2, 75, HIDDEN, requires_grad=True)
    slow_input = fast_input.detach().clone().requires_grad_()
    fast, slow = module(fast_input), MIXERS[config.name].naive(module, slow_input)
    assert relative_difference(fast, slow) < 1e-5
    fast_gradient, slow_gradient = (
        torch.autograd.grad(out.square().sum(), [x, *module.parameters()])
        for out, x in [(fast, fast_input), (slow, slow_input)]
    )
    for a, b in zip(fast_gradient, slow_gradient, strict=True):
        assert relative_difference(a, b) < 1e-5


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Distance over length; of vectors shorter than 1, as gradients that are zero, the distance itself."""
    distance, length = (found - expected).detach().norm(), expected.detach().norm()
    return float(distance / length.clamp(min=1.0))


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_decoding_step_by_step_equals_the_parallel_form(config: Mixer) -> None:
    module = a_module(config)
    x = torch.randn(3, 40, HIDDEN, dtype=torch.float64)
    state, outputs = module.initial_state(3), []
    for t in range(40):
        out, state = module.step(x[:, t : t + 1], state)
        outputs.append(out)
    torch.testing.assert_close(torch.cat(outputs, dim=1), module(x), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_parameters_are_counted_exactly(config: Mixer) -> None:
    assert config.parameters(HIDDEN) == sum(p.numel() for p in a_module(config).parameters())


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_a_token_never_sees_the_future(config: Mixer) -> None:
    module = a_module(config)
    x = torch.randn(1, 20, HIDDEN, dtype=torch.float64)
    changed = x.clone()
    changed[:, 12:] += 1.0
    torch.testing.assert_close(module(x)[:, :12], module(changed)[:, :12], atol=1e-12, rtol=0)


def test_the_delta_rule_is_stable_for_near_parallel_keys() -> None:
    torch.manual_seed(0)
    heads, tokens, size = 2, 96, 16
    key = torch.nn.functional.normalize(
        torch.ones(1, heads, tokens, size) + 1e-3 * torch.randn(1, heads, tokens, size), dim=-1
    )
    query, value = torch.randn(1, heads, tokens, size), torch.randn(1, heads, tokens, size)
    log_decay, beta = torch.full((1, heads, tokens), -1e-3), torch.full((1, heads, tokens), 0.99)
    memory, slow = torch.zeros(1, heads, size, size), []
    for t in range(tokens):
        out, memory = delta_step(
            query[:, :, t], key[:, :, t], value[:, :, t], log_decay[..., t], beta[..., t], memory
        )
        slow.append(out)
    fast = chunked_gated_delta(query, key, value, log_decay, beta)
    assert relative_difference(fast, torch.stack(slow, dim=2)) < 1e-5


def test_every_registry_entry_is_complete_and_letters_are_unique() -> None:
    for name, operator in MIXERS.items():
        assert operator.config.name == name
        assert all(callable(part) for part in (operator.module, operator.naive, operator.lower))
    assert len(codes()) == len(MIXERS)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (ShortConv(kernel_size=1), "short_conv.kernel_size"),
        (GroupQueryAttention(heads=6, kv_heads=4), "grouped_query_attention.kv_heads"),
        (GroupQueryAttention(heads=6, kv_heads=3, head_size=20), "grouped_query_attention.head_size"),
        (SlidingWindowAttention(heads=4, kv_heads=2, window=0), "sliding_window_attention.window"),
        (GatedDeltaNet(key_heads=3, value_heads=4), "gated_delta_net.value_heads"),
        (ShortConv(kernel_size=2.5), "short_conv.kernel_size"),  # type: ignore[arg-type]
        (GroupQueryAttention(heads=4.0, kv_heads=2), "grouped_query_attention.heads"),  # type: ignore[arg-type]
        (GroupQueryAttention(heads=True, kv_heads=1), "grouped_query_attention.heads"),
        (
            GroupQueryAttention(heads=2, kv_heads=1, rotary_base=math.inf),
            "grouped_query_attention.rotary_base",
        ),
        (GroupQueryAttention(heads=2, kv_heads=1, rotary_share="1"), "grouped_query_attention.rotary_share"),  # type: ignore[arg-type]
        (LinearAttention(heads="4"), "linear_attention.heads"),  # type: ignore[arg-type]
    ],
)
def test_an_impossible_field_is_named_with_its_value(config: Mixer, field: str) -> None:
    with pytest.raises(ArchitectureError, match=field.replace(".", r"\.")):
        config.check(HIDDEN)
