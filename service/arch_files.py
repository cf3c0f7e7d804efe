"""Architectures that come from files and leave as files: Hugging Face configs, documents, and exports."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.errors import ConfigError, OperatorError
from operators.export.huggingface_folder import export_huggingface
from operators.export.onnx_folder import export_onnx
from operators.export.torch_file import export_torch_file
from operators.huggingface.families import read_config
from operators.model import fresh_model
from operators.precision import Precision
from service.errors import BadInput
from service.known_layouts import NamedArchitecture, read_document, require_size

LARGEST_FILE_BYTES = 4 * 1024**2
LARGEST_SEED = 2**63 - 1
FORMATS = ("hf", "onnx", "torch")
CONTEXT_TOKENS = 4096
LONGEST_SHOWN = 80


def read_architecture(path: Path) -> NamedArchitecture:
    """Read a Hugging Face config or an architecture's own document; BadInput names the key and its value."""
    document = _read_json(path)
    if "model_type" not in document:
        return NamedArchitecture(path.stem, read_document(document, str(path)).architecture)
    try:
        return NamedArchitecture(path.stem, read_config(document))
    except ConfigError as error:
        raise BadInput(
            f"{_shown(error.value)} can't be used", field=f"{path}: {error.field}", hint=error.way_out
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


@dataclass(frozen=True)
class ExportForm:
    """What is written, and the options that only some formats have; None was not asked for."""

    form: str
    bits: int | None = None
    block_size: int | None = None
    context_tokens: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise BadInput(
                f"{self.form!r} is not a format", field="--format", hint=f"use one of {', '.join(FORMATS)}"
            )
        foreign = ("seed",) if self.form == "onnx" else ("bits", "block_size", "context_tokens")
        for name in foreign:
            if getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise BadInput(f"says nothing of {self.form}", field=option, hint=f"drop {option}")
        if self.seed is not None and not 0 <= self.seed <= LARGEST_SEED:
            raise BadInput(f"{self.seed} can't be used", field="--seed", hint=f"use 0 to {LARGEST_SEED}")

    @property
    def precision(self) -> Precision:
        """That of the graph; BadInput where there is none such."""
        given = {"bits": self.bits, "block_size": self.block_size}
        try:
            return Precision(**{name: value for name, value in given.items() if value is not None})
        except OperatorError as error:
            raise BadInput("can't be used", field="--bits, --block-size", hint=str(error)) from None


def export(found: NamedArchitecture, wanted: ExportForm, folder: Path) -> str:
    """Write an architecture to a new folder, read it back, and say what it is; BadInput where that can't be."""
    require_size(found.architecture, found.label)
    try:
        if wanted.form == "onnx":
            precision = wanted.precision
            context_tokens = CONTEXT_TOKENS if wanted.context_tokens is None else wanted.context_tokens
            export_onnx(found.architecture, folder, precision, context_tokens)
            return f"ONNX graph ({precision.label}, up to {context_tokens} tokens) with its weight pool and manifest"
        seed = wanted.seed or 0
        model = fresh_model(found.architecture, seed).eval()
        if wanted.form == "torch":
            export_torch_file(model, folder, seed=seed)
            return "one Python file that needs only torch: model.build()"
        kind = export_huggingface(model, folder)
        return f"Hugging Face folder, model_type {kind}" + (
            ": trust_remote_code=True" if kind == "loopfront" else ""
        )
    except OperatorError as error:
        raise BadInput("can't be exported", field=found.label, hint=str(error)) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():  # a pipe would be read for ever
            raise BadInput("is no file", field=str(path), hint="give a config.json")
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BadInput(
                f"is over {LARGEST_FILE_BYTES} bytes", field=str(path), hint="is it a config.json?"
            )
        document = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise BadInput(
            f"can't be read: {error.strerror}", field=str(path), hint="give a config.json"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"isn't JSON: {error}", field=str(path), hint="give a config.json") from None
    if not isinstance(document, dict):
        raise BadInput("holds no keys and values", field=str(path), hint="give a config.json")
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is given twice, of which a parser would keep the last without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"the key {repeated!r} stands twice in it")
    return found


def _shown(value: object) -> str:
    """Write a refused value, in short where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)} characters)"
