"""Exports an architecture as one Python file that builds and trains with nothing but torch."""

import pprint
from pathlib import Path

from operators.architecture import Architecture
from operators.errors import ExportError
from operators.export.check import check_tokens, expected_logits, load_source, require_equal
from operators.export.landing import landing
from operators.export.standalone import standalone_source
from operators.model import LanguageModel
from operators.registry import MIXERS, Registry

FILE = "model.py"
BUILD = '''
ARCHITECTURE = {document}


def build(seed: int = {seed}) -> LanguageModel:
    """Return the model with fresh weights, fit for training; equal seeds give equal weights."""
    return fresh_model(architecture_from_dict(ARCHITECTURE), seed)
'''


def torch_source(architecture: Architecture, registry: Registry = MIXERS, seed: int = 0) -> str:
    """Return the file's text: the operators' source, the architecture, and `build`."""
    title = f"A language model with the layout {architecture.layout}."
    document = pprint.pformat(architecture.to_dict(), width=110, sort_dicts=False)
    return (
        standalone_source(architecture, title, registry) + "\n" + BUILD.format(document=document, seed=seed)
    )


def export_torch_file(model: LanguageModel, folder: Path, registry: Registry = MIXERS, seed: int = 0) -> None:
    """Write `model.py` into a new folder; raise ExportError where it doesn't build the same model again.

    `seed` is that of `build` where none is given.
    """
    architecture = model.architecture
    with landing(folder) as draft:
        path = draft / FILE
        path.write_text(torch_source(architecture, registry, seed))
        again = load_source(path).build()
        if again.architecture.to_dict() != architecture.to_dict():
            raise ExportError(f"{FILE}: read back, its architecture differs: a bug of ours")
        again.load_state_dict(model.state_dict(), strict=True, assign=True)
        require_equal(FILE, again.eval()(check_tokens(architecture)), expected_logits(model))
