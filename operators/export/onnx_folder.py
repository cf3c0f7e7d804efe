"""Exports the graph that Loopfront measures: model.onnx, the weight pool that it reads, and a manifest of both."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.architecture import Architecture
from operators.errors import ExportError
from operators.export.landing import landing
from operators.lowering import POOL_FILE, LoweredGraph, lower
from operators.pool import Region, region_bytes, region_floats, section_starts
from operators.precision import Precision
from operators.reference_output import expected_logits

GRAPH, MANIFEST = "model.onnx", "manifest.json"
CHECK_PROMPT_TOKENS, CHECK_DECODE_TOKENS = 24, 4
LEAST_COSINE = 0.95
"""As for a candidate on a device: int8 activations alone cost a 36-block model of random weights 0.02."""


def export_onnx(
    architecture: Architecture, folder: Path, precision: Precision, context_tokens: int, pool_seed: int = 1
) -> None:
    """Write the folder; raise ExportError where ONNX Runtime's logits are not those of torch on the same weights."""
    capacity = max(context_tokens, CHECK_PROMPT_TOKENS + CHECK_DECODE_TOKENS)
    lowered = lower(architecture, capacity, precision)
    with landing(folder) as draft:
        write_graph(architecture, lowered, draft, precision, pool_seed)
        _compare(architecture, lowered, precision, pool_seed, draft)


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
    architecture: Architecture, lowered: LoweredGraph, precision: Precision, pool_seed: int, draft: Path
) -> None:
    ids = np.random.default_rng(0).integers(
        0, architecture.vocab_size, CHECK_PROMPT_TOKENS + CHECK_DECODE_TOKENS
    )
    prompt, decoded = ids[:CHECK_PROMPT_TOKENS], ids[CHECK_PROMPT_TOKENS:]
    every = range(architecture.vocab_size)
    rows = prompt.tolist(), decoded.tolist()
    wanted = expected_logits(architecture, lowered, precision, pool_seed, *rows, every)
    decoder = _Decoder(draft / GRAPH, lowered)
    found = [decoder.step(prompt[None]), *(decoder.step(token[None, None]) for token in decoded)]
    for row, expected in zip(found, np.array(wanted), strict=True):
        cosine = float(row @ expected / np.linalg.norm(row) / np.linalg.norm(expected))
        if not cosine >= LEAST_COSINE:
            raise ExportError(
                f"{GRAPH}: run by ONNX Runtime, its logits differ (cosine {cosine:.4f}): a bug of ours"
            )


class _Decoder:
    """Runs the graph step by step, its states bound as the manifest says."""

    def __init__(self, path: Path, lowered: LoweredGraph) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which would write under HOME
        import onnxruntime  # noqa: PLC0415

        self._runtime = onnxruntime
        self._lowered = lowered
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._states = {state.input_name: self._zeros(state.shape) for state in lowered.states}
        self._seen = 0

    def step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read token ids (1, tokens) and return the last position's logits (vocabulary,)."""
        self._seen += ids.shape[1]
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids, np.int64))
        if self._lowered.uses_sequence_lengths:
            binding.bind_cpu_input("seqlens_k", np.array([self._seen - 1], np.int32))
            binding.bind_cpu_input("total_sequence_length", np.array(self._seen, np.int32))
        binding.bind_output("logits")
        following = {}
        for state in self._lowered.states:
            past = self._states[state.input_name]
            following[state.input_name] = past if state.shared_buffer else self._zeros(state.shape)
            binding.bind_ortvalue_input(state.input_name, past)
            binding.bind_ortvalue_output(state.output_name, following[state.input_name])
        self._session.run_with_iobinding(binding)
        self._states = following
        logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()[0, 0]
        return logits

    def _zeros(self, shape: tuple[int, ...]) -> Any:
        return self._runtime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
