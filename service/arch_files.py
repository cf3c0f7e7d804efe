"""Architectures that come from files and leave as files: Hugging Face configs, documents, and exports."""

import json
from pathlib import Path
from typing import Any

import torch

from operators.errors import ConfigError, OperatorError
from operators.export.huggingface_folder import export_huggingface
from operators.export.onnx_folder import export_onnx
from operators.export.torch_file import export_torch_file
from operators.huggingface.families import read_config
from operators.model import LanguageModel, initialise
from operators.precision import Precision
from service.errors import BadInput
from service.known_layouts import NamedArchitecture, from_document

LARGEST_FILE_BYTES = 4 * 1024**2
FORMATS = ("hf", "onnx", "torch")


def read_architecture(path: Path) -> NamedArchitecture:
    """Read a Hugging Face config or an architecture's own document; BadInput names the key and its value."""
    document = _read_json(path)
    if "model_type" not in document:
        return NamedArchitecture(path.stem, from_document(document, str(path)).architecture)
    try:
        return NamedArchitecture(path.stem, read_config(document))
    except ConfigError as error:
        raise BadInput(
            f"{error.value!r} can't be used", field=f"{path}: {error.field}", hint=error.way_out
        ) from None


def write_document(found: NamedArchitecture, path: Path) -> None:
    """Write an architecture as a document that every command reads; an existing file is not overwritten."""
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(found.architecture.to_dict(), file, indent=2)
            file.write("\n")
    except FileExistsError:
        raise BadInput("exists already", field=str(path), hint="choose another name or remove it") from None
    except OSError as error:
        raise BadInput(
            f"can't be written: {error.strerror}", field=str(path), hint="choose another place"
        ) from None


def export(
    found: NamedArchitecture, form: str, folder: Path, precision: Precision, context_tokens: int, seed: int
) -> str:
    """Write an architecture to a new folder, read it back, and say what it is; BadInput where that can't be."""
    try:
        if form == "onnx":
            export_onnx(found.architecture, folder, precision, context_tokens)
            return f"ONNX graph ({precision.label}, up to {context_tokens} tokens) with its weight pool and manifest"
        model = LanguageModel(found.architecture)
        initialise(model, torch.Generator().manual_seed(seed))
        if form == "torch":
            export_torch_file(model.eval(), folder)
            return "one Python file that needs only torch: model.build()"
        kind = export_huggingface(model.eval(), folder)
        return f"Hugging Face folder, model_type {kind}" + (
            ": trust_remote_code=True" if kind == "loopfront" else ""
        )
    except OperatorError as error:
        raise BadInput("can't be exported", field=found.label, hint=str(error)) from None


def precision_of(bits: int, block_size: int) -> Precision:
    """Make a precision of what a user typed."""
    try:
        return Precision(bits, block_size)
    except OperatorError as error:
        raise BadInput("can't be used", field="--bits, --block-size", hint=str(error)) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BadInput(
                f"is over {LARGEST_FILE_BYTES} bytes", field=str(path), hint="is it a config.json?"
            )
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"can't be read: {error.strerror}", field=str(path), hint="give a config.json"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"isn't JSON: {error}", field=str(path), hint="give a config.json") from None
    if not isinstance(document, dict):
        raise BadInput("holds no keys and values", field=str(path), hint="give a config.json")
    return document
