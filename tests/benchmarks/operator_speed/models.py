"""Makes the files that the engines load: one architecture, as three formats of the same weights."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from operators.architecture import Architecture
from operators.export.huggingface_folder import export_huggingface
from operators.export.onnx_folder import export_onnx
from operators.lowering import lower
from operators.model import LanguageModel
from operators.precision import Precision
from operators.reference_output import model_from_pool
from operators.references import reference
from tests.benchmarks.operator_speed.engines import Engine, Genai, LlamaCpp, OnnxRuntime, Setting
from tests.benchmarks.operator_speed.gguf_file import write_gguf

SHAPES = ("lfm2-350m", "gemma-3-270m", "qwen3.5-0.8b")
BLOCK_SIZES = (32, 64, 128)
POOL_SEED = 1
PEER_BLOCK = 32
LLAMA_CPP, GENAI = "llama.cpp Q4_0", "genai int4-b32"
BUILDER_CLASSES = {"Qwen3_5ForCausalLM": "Qwen3_5ForConditionalGeneration"}
"""The model builder knows Qwen3.5's text part by the name of the whole model."""

BUILDER = """
import runpy, transformers
transformers.Gemma3TextConfig.rope_local_base_freq = 1e4  # the builder reads what transformers 5 no longer has
runpy.run_module("onnxruntime_genai.models.builder", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Contender:
    """One engine with one model; `make` loads it, in the process that it shall run in."""

    name: str
    make: "partial[Engine]"


def contenders(shape: str, folder: Path, setting: Setting) -> tuple[list[Contender], list[str]]:
    """Return the engines that can run a shape, and why others can't; files of the same graphs in `folder` are kept."""
    architecture = reference(shape)
    capacity = max(setting.depth, setting.prompt_tokens) + setting.room
    home = folder / f"{shape}-{_digest(architecture, capacity)[:8]}"
    home.mkdir(parents=True, exist_ok=True)
    found, refused = [], []
    if not (home / "model.gguf").exists():
        write_gguf(home / "draft.gguf", architecture, _model(architecture, capacity).state_dict())
        (home / "draft.gguf").rename(home / "model.gguf")
    found.append(Contender(LLAMA_CPP, partial(LlamaCpp, home / "model.gguf", setting)))
    try:
        found.append(Contender(GENAI, partial(Genai, _genai_folder(architecture, home, capacity), setting)))
    except subprocess.CalledProcessError as error:
        refused.append(f"{shape}: onnxruntime-genai's model builder refuses it: {_last_line(error.stderr)}")
    for block_size in BLOCK_SIZES:
        precision = Precision(4, block_size)
        onnx = home / precision.label
        if not onnx.exists():
            export_onnx(architecture, onnx, precision, capacity, POOL_SEED)
        found.append(Contender(f"Loopfront {precision.label}", partial(OnnxRuntime, onnx, setting)))
    return found, refused


def _digest(architecture: Architecture, capacity: int) -> str:
    """Name all graphs of a shape: the peers' files hold the weights that lie in the pool of one of them."""
    digests = [lower(architecture, capacity, Precision(4, size)).digest for size in BLOCK_SIZES]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _model(architecture: Architecture, capacity: int) -> LanguageModel:
    precision = Precision(4, PEER_BLOCK)
    return model_from_pool(architecture, lower(architecture, capacity, precision), precision, POOL_SEED)


def _genai_folder(architecture: Architecture, home: Path, capacity: int) -> Path:
    found, weights = home / "genai", home / "hf"
    if (found / "genai_config.json").exists():
        return found
    if not weights.exists():
        export_huggingface(_model(architecture, capacity), weights)
        _write_for_builder(weights / "config.json")
        _write_small_tokenizer(weights)
    command = [
        sys.executable, "-c", BUILDER,
        "-i", str(weights), "-o", str(found), "-c", str(home / "cache"), "-p", "int4", "-e", "cpu",
        "--extra_options", f"int4_block_size={PEER_BLOCK}", "int4_accuracy_level=4",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    return found


def _write_for_builder(path: Path) -> None:
    """Spell the config as the model builder reads it: it asks for keys that transformers no longer needs."""
    config = json.loads(path.read_text())
    config["architectures"] = [BUILDER_CLASSES.get(name, name) for name in config["architectures"]]
    config |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    rope = config["rope_parameters"]
    if config["model_type"] == "gemma3_text":
        rope |= rope["full_attention"]
    if config["model_type"] == "qwen3_5_text":
        rope |= {"mrope_section": [11, 11, 10], "mrope_interleaved": True}
    path.write_text(json.dumps(config))


def _write_small_tokenizer(folder: Path) -> None:
    """The builder copies a tokenizer, which no engine is asked to use."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
