"""Our torch model and the one of transformers give the same logits with the same weights, and so do their caches."""

import pytest
import torch
from torch import Tensor

from operators.huggingface.families import FAMILIES, read_config
from operators.model import LanguageModel, initialise
from tests.operators.huggingface.configs import CONFIGS

pytestmark = pytest.mark.filterwarnings("default")

TOKENS = 25


def both(family: str) -> tuple[LanguageModel, torch.nn.Module]:
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(family, **CONFIGS[family])
    ours = LanguageModel(read_config(config.to_dict())).eval()
    initialise(ours, torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if "norm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    tensors = FAMILIES[family].tensors(ours.architecture, ours.state_dict())
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    tied = ["lm_head.weight"] if config.tie_word_embeddings else []
    assert (missing, unexpected) == (tied, [])
    return ours, theirs


def relative_difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("family", CONFIGS)
def test_prefill_and_cached_decode_agree_with_transformers(family: str) -> None:
    ours, theirs = both(family)
    ids = torch.randint(0, 100, (2, TOKENS), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        whole = theirs(ids).logits
        assert relative_difference(ours(ids), whole) < 1e-5
        assert relative_difference(decoded_by_ours(ours, ids), whole) < 1e-5
        assert relative_difference(decoded_by_transformers(theirs, ids), whole[:, 9:]) < 1e-5


def decoded_by_ours(model: LanguageModel, ids: Tensor) -> Tensor:
    states, rows = model.initial_states(len(ids)), []
    for t in range(TOKENS):
        logits, states = model.step(ids[:, t : t + 1], states)
        rows.append(logits)
    return torch.cat(rows, dim=1)


def decoded_by_transformers(model: torch.nn.Module, ids: Tensor) -> Tensor:
    answer = model(ids[:, :10], use_cache=True)
    rows = [answer.logits[:, -1:]]
    for t in range(10, TOKENS):
        answer = model(ids[:, t : t + 1], past_key_values=answer.past_key_values, use_cache=True)
        rows.append(answer.logits)
    return torch.cat(rows, dim=1)


@pytest.mark.parametrize("family", CONFIGS)
def test_both_have_as_many_parameters(family: str) -> None:
    ours, theirs = both(family)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
