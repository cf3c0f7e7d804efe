"""What is exported is loaded as a user would load it, and compared with the model that it came from."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from operators.architecture import Architecture
from operators.errors import ExportError
from operators.export.check import load_source
from operators.export.huggingface_folder import export_huggingface
from operators.export.onnx_folder import export_onnx
from operators.export.torch_file import export_torch_file, torch_source
from operators.huggingface.families import read_config
from operators.model import LanguageModel, fresh_model, initialise
from operators.precision import Precision
from tests.operators.builders import VARIANTS, an_architecture, of_mixers
from tests.operators.huggingface.configs import CONFIGS

LEARNS = """
import torch
from model import build
model = build(seed=5)
ids = torch.arange(48).reshape(2, 24) % 7
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
losses = []
for _ in range(30):
    loss = torch.nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward(); optimiser.step(); optimiser.zero_grad(); losses.append(loss.item())
assert losses[-1] < losses[0] / 3, losses
import sys
assert not [name for name in sys.modules if name.split(".")[0] in ("operators", "onnx", "transformers")]
"""


def a_model(architecture: Architecture) -> LanguageModel:
    model = LanguageModel(architecture)
    initialise(model, torch.Generator().manual_seed(1))
    return model.eval()


@pytest.mark.parametrize("layout", ["CASDL", "CC"])
def test_the_torch_file_trains_where_nothing_but_torch_is_imported(layout: str, tmp_path: Path) -> None:
    export_torch_file(a_model(an_architecture(layout)), tmp_path / "out")
    environment = {"PYTHONPATH": str(tmp_path / "out"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path / 'out')!r})\n{LEARNS}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_every_mixer_fits_into_a_file_of_its_own(config: object) -> None:
    source = torch_source(of_mixers(config))  # type: ignore[arg-type]
    compile(source, "model.py", "exec")
    assert "import onnx" not in source
    assert "from operators" not in source


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("layout", ["CASDL", "DSSA"])
def test_a_mixed_layout_loads_in_transformers_with_equal_logits_trains_and_generates(
    layout: str, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    model = a_model(an_architecture(layout))
    assert export_huggingface(model, tmp_path / "out") == "loopfront"
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    ids = torch.randint(0, 512, (2, 20), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, model(ids), rtol=1e-5, atol=1e-5)
    answer = loaded(ids, labels=ids)
    answer.loss.backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())
    longer = loaded.generate(ids, max_new_tokens=3, do_sample=False)
    assert longer.shape == (2, 23)
    assert torch.equal(longer[:, 20], model(ids)[:, -1].argmax(-1))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("family", CONFIGS)
def test_a_familys_own_layout_needs_no_remote_code(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = a_model(read_config({"model_type": family, **CONFIGS[family]}))
    assert export_huggingface(model, tmp_path / "out") == family
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.randint(0, 100, (2, 20), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, model(ids), rtol=1e-5, atol=1e-5)
    assert read_config(json.loads((tmp_path / "out" / "config.json").read_text())) == model.architecture


@pytest.mark.parametrize("precision", [Precision(4, 32), Precision(32)], ids=lambda each: each.label)
def test_the_onnx_folder_runs_by_its_manifest_alone(precision: Precision, tmp_path: Path) -> None:
    export_onnx(an_architecture("CASDL"), tmp_path / "out", precision, context_tokens=64)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    session = onnxruntime.InferenceSession(
        tmp_path / "out" / manifest["graph"]["file"], providers=["CPUExecutionProvider"]
    )
    feed = {
        "input_ids": np.arange(5)[None],
        "seqlens_k": np.array([4], np.int32),
        "total_sequence_length": np.array(5, np.int32),
    }
    feed |= {state["input"]: np.zeros(state["shape"], np.float32) for state in manifest["states"]}
    (logits,) = session.run(["logits"], feed)
    assert logits.shape == (1, 1, 512)
    assert set(feed) == {*manifest["inputs"], *(state["input"] for state in manifest["states"])}


def test_equal_seeds_give_equal_weights_in_every_format(tmp_path: Path) -> None:
    architecture = an_architecture("CASDL")
    export_torch_file(fresh_model(architecture, 7), tmp_path / "torch", seed=7)
    built = load_source(tmp_path / "torch" / "model.py").build()
    for wanted in (fresh_model(architecture, 7), fresh_model(architecture, 7)):
        for name, tensor in built.state_dict().items():
            assert torch.equal(tensor, wanted.state_dict()[name]), name
    assert not torch.equal(fresh_model(architecture, 8).embedding.weight, built.embedding.weight)


@pytest.mark.filterwarnings("default")
def test_a_model_made_from_the_config_alone_starts_as_the_exported_weights_do(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export_huggingface(fresh_model(an_architecture("CASDL"), 0).eval(), tmp_path / "out")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out", trust_remote_code=True)
    made = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=True)
    exported = load_file(tmp_path / "out" / "model.safetensors")
    for name, tensor in made.state_dict().items():
        if "embedding" in name or name.endswith("proj.weight"):
            assert float(tensor.detach().std()) == pytest.approx(float(exported[name].std()), rel=0.05), name


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_mixer_runs_and_trains_in_16_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = a_model(an_architecture("CASDL"))
    export_huggingface(model, tmp_path / "out")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", trust_remote_code=True, dtype=dtype
    )
    ids = torch.randint(0, 512, (2, 70), generator=torch.Generator().manual_seed(3))
    answer = loaded(ids, labels=ids)
    answer.loss.backward()
    assert answer.logits.dtype == dtype
    if dtype is torch.bfloat16:  # float16's range needs a scaled loss
        assert all(parameter.grad.isfinite().all() for parameter in loaded.parameters())
    cosine = torch.nn.functional.cosine_similarity(answer.logits.float(), model(ids), dim=-1)
    assert float(cosine.detach().min()) > 0.99


@pytest.mark.filterwarnings("default")
def test_prompts_that_are_padded_are_refused_where_they_would_go_wrong(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export_huggingface(a_model(an_architecture("CASDL")), tmp_path / "out")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    ids, mask = torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long)
    mask[1, 5:] = 0
    assert loaded(ids, attention_mask=mask).logits.shape == (2, 8, 512)
    with pytest.raises(ValueError, match="prompts of equal length"):
        loaded.generate(ids, attention_mask=mask, max_new_tokens=2)
    with pytest.raises(ValueError, match="pad on the right"):
        loaded(ids, attention_mask=mask.flip(1))


def test_weights_can_be_read_by_others(tmp_path: Path) -> None:
    export_huggingface(a_model(an_architecture("C")), tmp_path / "out")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (tmp_path / "out").iterdir())


def test_a_context_shorter_than_the_check_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="a context of -5 tokens: use 28 or more"):
        export_onnx(an_architecture("C"), tmp_path / "out", Precision(), context_tokens=-5)


def test_an_export_never_overwrites_and_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        export_torch_file(a_model(an_architecture("C")), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        export_torch_file(a_model(an_architecture("C")), tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_transformers_is_needed_by_tests_alone() -> None:
    assert importlib.util.find_spec("transformers") is not None
    command = [
        sys.executable,
        "-c",
        "import operators.export.huggingface_folder, sys; assert 'transformers' not in sys.modules",
    ]
    assert subprocess.run(command, check=False).returncode == 0
