"""A sixth operator is one file and one registry line: here the worked example of CONTRIBUTING.md."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from operators.cost import parameters
from operators.export.torch_file import torch_source
from operators.lowering import lower
from operators.model import LanguageModel
from operators.notation import architecture_from_dict
from operators.precision import Precision
from operators.reference_output import model_from_pool
from operators.registry import MIXERS, Registry
from search.feasibility import build, feasible_widths
from search.space import Budget, MixerChoice, SearchSpace
from tests.operators.builders import of_mixers
from tests.operators.test_lowering import SEED, a_decoder

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def moving_average(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The worked example of CONTRIBUTING.md, as a file of its own."""
    (source,) = re.findall(r"```python\n(\"\"\"A moving average.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    path = tmp_path_factory.mktemp("operator") / "moving_average.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("moving_average", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["moving_average"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry(moving_average: ModuleType) -> Registry:
    """The registry with the one line that a sixth operator takes."""
    return {**MIXERS, "moving_average": moving_average.MOVING_AVERAGE}


def test_it_is_counted_built_and_decoded(moving_average: ModuleType, registry: Registry) -> None:
    architecture = of_mixers(moving_average.MovingAverage(), MIXERS["short_conv"].small)
    model = LanguageModel(architecture, registry).double()
    assert parameters(architecture).total == sum(each.numel() for each in model.parameters())
    ids = torch.randint(0, 512, (2, 19))
    states, rows = model.initial_states(2), []
    for t in range(19):
        logits, states = model.step(ids[:, t : t + 1], states)
        rows.append(logits)
    torch.testing.assert_close(torch.cat(rows, dim=1), model(ids), rtol=1e-10, atol=1e-10)
    mixer = model.blocks[0].mixer
    x = torch.randn(2, 19, 128, dtype=torch.float64)
    torch.testing.assert_close(
        moving_average.naive_moving_average(mixer, x), mixer(x), rtol=1e-10, atol=1e-10
    )


def test_it_is_read_written_and_exported(moving_average: ModuleType, registry: Registry) -> None:
    architecture = of_mixers(moving_average.MovingAverage())
    assert architecture_from_dict(architecture.to_dict(), registry) == architecture
    assert "class MovingAverageModule" in torch_source(architecture, registry)


def test_its_graph_equals_torch(moving_average: ModuleType, registry: Registry, tmp_path: Path) -> None:
    architecture = of_mixers(moving_average.MovingAverage(), MIXERS["short_conv"].small)
    lowered = lower(architecture, 64, Precision(32), registry=registry)
    model = model_from_pool(architecture, lowered, Precision(32), SEED, registry)
    ids = np.random.default_rng(1).integers(0, 512, (1, 20))
    decoder = a_decoder(tmp_path, lowered)
    rows = [decoder.step(ids[:, :15]), *(decoder.step(ids[:, t : t + 1]) for t in range(15, 20))]
    with torch.inference_mode():
        expected = model(torch.from_numpy(ids))[0, 14:].numpy()
    np.testing.assert_allclose(np.concatenate(rows), expected, rtol=1e-4, atol=1e-4)


def test_a_search_space_can_hold_it(registry: Registry) -> None:
    mixers = tuple(MixerChoice.of(name, None, registry) for name in ("moving_average", "short_conv"))
    space, budget = SearchSpace(8192, (0.1, 0.6), (4, 10), mixers), Budget(6_000_000, 0.02)
    width = feasible_widths(space, budget)[0]
    forms = [choice.mixers(width.hidden_size)[0] for choice in mixers]
    assert build(width.hidden_size, forms * (width.depths[0] // 2 + 1), space, budget).layout.startswith("MC")
