"""Exports the graph that Loopfront measures: model.onnx, the weight pool that it reads, and a manifest of both."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.architecture import Architecture
from operators.errors import ExportError
from operators.export.decoder import Decoder
from operators.export.landing import landing
from operators.lowering import POOL_FILE, LoweredGraph, lower
from operators.pool import Region, region_bytes, region_floats, section_starts
from operators.precision import Precision
from operators.reference_output import expected_logits

GRAPH, MANIFEST = "model.onnx", "manifest.json"
CHECK_PROMPT_TOKENS, CHECK_DECODE_TOKENS = 24, 4
EXACT_GRAPH = "exact.onnx"
LARGEST_DIFFERENCE = 1e-3
"""Between two vectors of logits over the length of torch's; 36 blocks of random weights reach 1e-4 at most."""


def export_onnx(
    architecture: Architecture, folder: Path, precision: Precision, context_tokens: int, pool_seed: int = 1
) -> None:
    """Write the folder; raise ExportError where ONNX Runtime's logits are not those of torch on the same weights."""
    least = CHECK_PROMPT_TOKENS + CHECK_DECODE_TOKENS
    if context_tokens < least:
        raise ExportError(f"a context of {context_tokens} tokens: use {least} or more, which the check reads")
    lowered = lower(architecture, context_tokens, precision)
    with landing(folder) as draft:
        write_graph(architecture, lowered, draft, precision, pool_seed)
        check = _compare(architecture, precision, context_tokens, pool_seed, draft)
        manifest = json.loads((draft / MANIFEST).read_text())
        (draft / MANIFEST).write_text(json.dumps({**manifest, "check": check}, indent=2) + "\n")


def write_graph(
    architecture: Architecture, lowered: LoweredGraph, folder: Path, precision: Precision, pool_seed: int
) -> None:
    """Write graph, pool and manifest into an existing folder, without running them."""
    (folder / GRAPH).write_bytes(lowered.onnx_bytes)
    write_pool(folder / POOL_FILE, lowered, pool_seed)
    manifest = _manifest(architecture, lowered, precision, pool_seed, _sha256(folder / POOL_FILE))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def write_pool(path: Path, lowered: LoweredGraph, pool_seed: int) -> None:
    """Write the weight pool, as the runner makes it on a device."""
    with path.open("wb") as file:
        for i, (section, start) in enumerate(
            zip(lowered.sections, section_starts(lowered.sections), strict=True)
        ):
            region = Region(i, section.source, 0, section.byte_length)
            is_float = section.source.kind == "uniform"
            file.seek(start)
            file.write((region_floats if is_float else region_bytes)(pool_seed, region).tobytes())


def _manifest(
    architecture: Architecture, lowered: LoweredGraph, precision: Precision, pool_seed: int, pool_sha256: str
) -> dict[str, Any]:
    return {
        "made_by": "loopfront",
        "graph": {"file": GRAPH, "sha256": lowered.digest},
        "pool": {"file": POOL_FILE, "sha256": pool_sha256, "seed": pool_seed, "weights": "random"},
        "architecture": architecture.to_dict(),
        "precision": {"bits": precision.bits, "block_size": precision.block_size},
        "context_capacity": lowered.context_capacity,
        "batch": 1,
        "inputs": _inputs(lowered),
        "outputs": ["logits"],
        "states": [
            {
                "input": state.input_name,
                "output": state.output_name,
                "shape": list(state.shape),
                "starts_as": "zeros",
                "shared_buffer": state.shared_buffer,
            }
            for state in lowered.states
        ],
    }


def _inputs(lowered: LoweredGraph) -> dict[str, str]:
    lengths = {
        "seqlens_k": "int32 (batch,): tokens seen with this step's, less one",
        "total_sequence_length": "int32 (): tokens seen with this step's",
    }
    return {"input_ids": "int64 (batch, tokens)", **(lengths if lowered.uses_sequence_lengths else {})}


def _compare(
    architecture: Architecture, precision: Precision, capacity: int, pool_seed: int, draft: Path
) -> dict[str, float | int]:
    """Run the graph on a few tokens and compare: first as it computes in fp32, then as it is written.

    The two graphs differ in one attribute of the quantised projections. In fp32 the logits must be torch's; rounded
    to int8, as the fast kernels do, a deep model of random weights drifts, so that cosine is told, not judged.
    """
    draw = np.random.default_rng(0)
    ids = draw.integers(0, architecture.vocab_size, CHECK_PROMPT_TOKENS + CHECK_DECODE_TOKENS)
    exact = lower(architecture, capacity, precision, accuracy_level=0)
    rows = ids[:CHECK_PROMPT_TOKENS].tolist(), ids[CHECK_PROMPT_TOKENS:].tolist()
    every = range(architecture.vocab_size)
    wanted = np.array(
        expected_logits(architecture, exact, precision, pool_seed, *rows, every, accuracy_level=0)
    )
    (draft / EXACT_GRAPH).write_bytes(exact.onnx_bytes)
    in_fp32 = _logits(Decoder(draft / EXACT_GRAPH, exact), ids)
    (draft / EXACT_GRAPH).unlink()
    difference = float((_lengths(in_fp32 - wanted) / _lengths(wanted)).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportError(
            f"{GRAPH}: run by ONNX Runtime in fp32, its logits differ by {difference:.2g}: a bug of ours"
        )
    as_written = _logits(Decoder(draft / GRAPH, exact), ids)
    cosines = (as_written * in_fp32).sum(-1) / _lengths(as_written) / _lengths(in_fp32)
    if not np.isfinite(cosines).all():
        raise ExportError(f"{GRAPH}: run by ONNX Runtime, its logits are not finite: a bug of ours")
    return {
        "tokens": len(ids),
        "relative_difference_to_torch_in_fp32": difference,
        "cosine_of_int8_activations_to_fp32": float(cosines.min()),
    }


def _logits(decoder: Decoder, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the logits (1 + decoded, vocabulary) after the prompt and after each decoded token."""
    prompt, decoded = ids[None, :CHECK_PROMPT_TOKENS], ids[None, CHECK_PROMPT_TOKENS:]
    steps = [decoder.step(prompt)]
    steps += [decoder.step(decoded[:, at : at + 1]) for at in range(decoded.shape[1])]
    return np.concatenate(steps)


def _lengths(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=-1)
    return lengths


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
