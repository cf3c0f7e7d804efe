"""Exports an architecture as a folder that `transformers.AutoModelForCausalLM` loads, with weights fit for training.

Where a published family can say the architecture exactly, the folder is one of that family and needs no remote code.
Any other layout brings its own modelling file, named by `auto_map`.
"""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from operators.errors import ExportError
from operators.export.check import (
    check_tokens,
    expected_logits,
    load_source,
    require_equal,
    require_same_weights,
)
from operators.export.landing import landing
from operators.export.standalone import standalone_source
from operators.huggingface.families import FAMILIES, Families, native_config, read_config
from operators.huggingface.family import Family
from operators.model import LanguageModel
from operators.registry import MIXERS, Registry

CONFIG, WEIGHTS, CODE, MODELLING = (
    "config.json",
    "model.safetensors",
    "loopfront_model.py",
    "modeling_loopfront.py",
)
READABLE = 0o644
MODELLING_TEMPLATE = Path(__file__).with_name("modeling_loopfront.py.txt")


def export_huggingface(
    model: LanguageModel, folder: Path, registry: Registry = MIXERS, families: Families = FAMILIES
) -> str:
    """Write the folder and return the `model_type` that it has; raise ExportError where it reads back differently."""
    native = native_config(model.architecture, families)
    with landing(folder) as draft:
        if native is None:
            _write_own(model, draft, registry)
        else:
            _write_native(model, draft, *native)
        if importlib.util.find_spec("transformers") is not None:
            _compare_with_transformers(model, draft, trusted=native is None)
    return native[0].model_type if native else "loopfront"


def _write_native(model: LanguageModel, draft: Path, family: Family, config: dict[str, Any]) -> None:
    tensors = family.tensors(model.architecture, _weights(model))
    _write(draft, {"architectures": [family.model_class], **config}, tensors)
    if read_config(json.loads((draft / CONFIG).read_text())) != model.architecture:
        raise ExportError(f"{CONFIG}: read back, it is another architecture: a bug of ours")


def _write_own(model: LanguageModel, draft: Path, registry: Registry) -> None:
    architecture = model.architecture
    title = f"The torch form of a language model with the layout {architecture.layout}."
    (draft / CODE).write_text(standalone_source(architecture, title, registry))
    (draft / MODELLING).write_text(MODELLING_TEMPLATE.read_text())
    module = MODELLING.removesuffix(".py")
    config = {
        "architectures": ["LoopfrontForCausalLM"],
        "model_type": "loopfront",
        "auto_map": {
            "AutoConfig": f"{module}.LoopfrontConfig",
            "AutoModelForCausalLM": f"{module}.LoopfrontForCausalLM",
        },
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "num_hidden_layers": len(architecture.blocks),
        "tie_word_embeddings": False,  # a tied head has no tensor of its own here: nothing is left to tie
        "architecture": architecture.to_dict(),
    }
    _write(draft, config, {f"model.{name}": tensor for name, tensor in _weights(model).items()})
    _compare_own(model, draft)


def _compare_own(model: LanguageModel, draft: Path) -> None:
    code = load_source(draft / CODE)
    document = json.loads((draft / CONFIG).read_text())["architecture"]
    again = code.LanguageModel(code.architecture_from_dict(document))
    weights = load_file(draft / WEIGHTS)
    again.load_state_dict({name.removeprefix("model."): w for name, w in weights.items()}, assign=True)
    require_equal(CODE, again.eval()(check_tokens(model.architecture)), expected_logits(model))


def _write(draft: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    document = {**config, "dtype": "float32"}
    (draft / CONFIG).write_text(json.dumps(document, indent=2) + "\n")
    contiguous = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(contiguous, draft / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # which hides the OSError that `landing` would tell
        raise ExportError(f"{WEIGHTS}: can't be written: {error}") from None
    (draft / WEIGHTS).chmod(READABLE)  # safetensors keeps it to its owner
    require_same_weights(WEIGHTS, load_file(draft / WEIGHTS), contiguous)


def _compare_with_transformers(model: LanguageModel, draft: Path, trusted: bool) -> None:
    """Load the folder as a user would, where transformers is installed; Loopfront itself doesn't need it."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    with _quiet_transformers(), torch.inference_mode():
        again = AutoModelForCausalLM.from_pretrained(draft, trust_remote_code=trusted, dtype=torch.float32)
        found = again(check_tokens(model.architecture)).logits
    require_equal("AutoModelForCausalLM", found, expected_logits(model))


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep its progress bar and its advice on faster kernels out of our command's output."""
    from transformers.utils import logging  # noqa: PLC0415

    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _weights(model: LanguageModel) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}
