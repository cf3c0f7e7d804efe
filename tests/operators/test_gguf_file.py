"""The file that llama.cpp is compared on: it must hold the weights that our own graph holds."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from operators.huggingface.families import read_config
from operators.lowering import lower
from operators.precision import Precision
from operators.reference_output import model_from_pool
from tests.benchmarks.operator_speed.gguf_file import write_gguf
from tests.operators.huggingface.configs import CONFIGS


@pytest.mark.parametrize("family", ["lfm2", "gemma3_text", "qwen3", "qwen3_5_text"])
def test_a_gguf_holds_the_weights_of_the_pool(family: str, tmp_path: Path) -> None:
    architecture, precision = read_config(CONFIGS[family] | {"model_type": family}), Precision(4, 32)
    model = model_from_pool(architecture, lower(architecture, 64, precision), precision, pool_seed=1)
    write_gguf(tmp_path / "model.gguf", architecture, model.state_dict())
    tensors = {each.name: each for each in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert sum(each.n_elements for each in tensors.values()) == sum(p.numel() for p in model.parameters())
    table = tensors["token_embd.weight"]
    assert table.tensor_type == gguf.GGMLQuantizationType.Q4_0
    held = gguf.dequantize(table.data, table.tensor_type)
    wanted = model.embedding.weight.detach().numpy()
    assert np.abs(held - wanted).max() / np.abs(wanted).max() < 0.15
    assert float((held * wanted).sum() / np.linalg.norm(held) / np.linalg.norm(wanted)) > 0.999
