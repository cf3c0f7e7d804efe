"""Runs a lowered graph in ONNX Runtime token by token, its states bound as the manifest says."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import ExportError
from operators.lowering import LoweredGraph


class Decoder:
    """One sequence of each of the graph's batch, from empty states on.

    `options` are onnxruntime.SessionOptions. Raises ExportError where ONNX Runtime can't load the file.
    """

    def __init__(self, path: Path, lowered: LoweredGraph, options: Any = None) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which would write under HOME
        import onnxruntime  # noqa: PLC0415

        self._runtime = onnxruntime
        self._lowered = lowered
        if options is None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # what goes wrong is raised, not printed
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common base
            first = str(error).splitlines()[0]
            raise ExportError(f"{path.name}: ONNX Runtime can't load it ({first}); write it again") from None
        self._states = {state.input_name: self._zeros(state.shape) for state in lowered.states}
        self._seen = 0

    def step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read token ids (batch, tokens) and return the last position's logits (batch, vocabulary)."""
        self._seen += ids.shape[1]
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids, np.int64))
        if self._lowered.uses_sequence_lengths:
            binding.bind_cpu_input("seqlens_k", np.full(ids.shape[0], self._seen - 1, np.int32))
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
        logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()[:, 0]
        return logits

    def _zeros(self, shape: tuple[int, ...]) -> Any:
        return self._runtime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
