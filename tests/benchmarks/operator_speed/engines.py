"""The engines that are compared, each behind the same few calls, and the process that one of them runs in."""

import ctypes
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

PREFILL_BATCH = 512
SEED = 1


class Engine(Protocol):
    """A loaded model. Times are seconds of wall time."""

    def prefill(self, tokens: np.ndarray) -> tuple[float, np.ndarray]:
        """Read a prompt (tokens,) into an empty state; return the time and the last position's logits."""

    def decode(self, steps: int) -> list[float]:
        """Decode behind the last prompt, token by token; return the time of each step."""

    def decode_at_depth(self, steps: int) -> list[float]:
        """Decode behind the deep context that the engine was made with."""


@dataclass(frozen=True)
class Setting:
    """What an engine is made for."""

    threads: int
    prompt_tokens: int
    depth: int
    room: int
    """Tokens that may be decoded behind a prompt, and behind the deep context."""


class OnnxRuntime:
    """Loopfront's graph in ONNX Runtime, its states bound once as the native runner binds them."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        self._runtime = onnxruntime
        self._manifest = json.loads((folder / "manifest.json").read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._prompt = self._sequence()
        self._deep = self._sequence()
        self._deep.fill(setting.depth)

    def prefill(self, tokens: np.ndarray) -> tuple[float, np.ndarray]:
        self._prompt.clear()
        return self._prompt.step(tokens)

    def decode(self, steps: int) -> list[float]:
        return [self._prompt.step(ONE_TOKEN)[0] for _ in range(steps)]

    def decode_at_depth(self, steps: int) -> list[float]:
        return [self._deep.step(ONE_TOKEN)[0] for _ in range(steps)]

    def _sequence(self) -> "_Sequence":
        return _Sequence(self._runtime, self._session, self._manifest)


class _Sequence:
    """The states of one sequence, and two bindings that swap those which a step can't write in place."""

    def __init__(self, runtime: Any, session: Any, manifest: dict[str, Any]) -> None:
        self._runtime, self._session = runtime, session
        self._takes_lengths = "seqlens_k" in manifest["inputs"]
        self._lengths = [self._value(np.zeros(1, np.int32)), self._value(np.zeros((), np.int32))]
        self._states = manifest["states"]
        self._buffers = [
            [self._value(np.zeros(state["shape"], np.float32)) for state in self._states] for _ in range(2)
        ]
        for i, state in enumerate(self._states):
            if state["shared_buffer"]:
                self._buffers[1][i] = self._buffers[0][i]
        self._bindings = [self._bind(0, 1), self._bind(1, 0)]
        self.seen = self._steps = 0

    def _value(self, array: np.ndarray) -> Any:
        return self._runtime.OrtValue.ortvalue_from_numpy(array)

    def _bind(self, past: int, present: int) -> Any:
        binding = self._session.io_binding()
        if self._takes_lengths:
            binding.bind_ortvalue_input("seqlens_k", self._lengths[0])
            binding.bind_ortvalue_input("total_sequence_length", self._lengths[1])
        binding.bind_output("logits")
        for i, state in enumerate(self._states):
            binding.bind_ortvalue_input(state["input"], self._buffers[past][i])
            binding.bind_ortvalue_output(state["output"], self._buffers[present][i])
        return binding

    def clear(self) -> None:
        self.seen = self._steps = 0
        for i, state in enumerate(self._states):
            self._buffers[0][i].update_inplace(np.zeros(state["shape"], np.float32))

    def fill(self, depth: int) -> None:
        """Stand where a prompt of `depth` tokens would: the values of states do not change a step's time."""
        draw = np.random.default_rng(SEED)
        for i, state in enumerate(self._states):
            self._buffers[0][i].update_inplace(0.1 * draw.standard_normal(state["shape"], np.float32))
        self.seen, self._steps = depth, 0

    def step(self, tokens: np.ndarray) -> tuple[float, np.ndarray]:
        started = time.perf_counter()
        binding = self._bindings[self._steps % 2]
        self.seen += len(tokens)
        self._steps += 1
        self._lengths[0].update_inplace(np.array([self.seen - 1], np.int32))
        self._lengths[1].update_inplace(np.array(self.seen, np.int32))
        binding.bind_cpu_input("input_ids", tokens[None])
        self._session.run_with_iobinding(binding)
        seconds = time.perf_counter() - started
        return seconds, binding.get_outputs()[0].numpy()[0, 0].copy()


class LlamaCpp:
    """llama.cpp through its C interface; two contexts of one model."""

    def __init__(self, path: Path, setting: Setting) -> None:
        import llama_cpp

        self._api = llama_cpp
        self._silence = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        assert self._model, f"llama.cpp does not load {path.name}"
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._prompt = self._context(setting, setting.prompt_tokens + setting.room)
        self._deep = self._context(setting, setting.depth + setting.room)
        deep = np.random.default_rng(SEED).integers(0, self._vocab_size, setting.depth)
        for start in range(0, setting.depth, PREFILL_BATCH):
            self._step(self._deep, deep[start : start + PREFILL_BATCH])

    def prefill(self, tokens: np.ndarray) -> tuple[float, np.ndarray]:
        self._api.llama_memory_clear(self._api.llama_get_memory(self._prompt), True)
        seconds = self._step(self._prompt, tokens)
        logits = self._api.llama_get_logits_ith(self._prompt, -1)
        return seconds, np.ctypeslib.as_array(logits, (self._vocab_size,)).copy()

    def decode(self, steps: int) -> list[float]:
        return [self._step(self._prompt, ONE_TOKEN) for _ in range(steps)]

    def decode_at_depth(self, steps: int) -> list[float]:
        return [self._step(self._deep, ONE_TOKEN) for _ in range(steps)]

    def _context(self, setting: Setting, tokens: int) -> Any:
        options = self._api.llama_context_default_params()
        options.n_ctx = tokens
        options.n_batch = options.n_ubatch = PREFILL_BATCH
        options.n_threads = options.n_threads_batch = setting.threads
        return self._api.llama_init_from_model(self._model, options)

    def _step(self, context: Any, tokens: np.ndarray) -> float:
        ids = (ctypes.c_int32 * len(tokens))(*tokens.tolist())
        started = time.perf_counter()
        failed = self._api.llama_decode(context, self._api.llama_batch_get_one(ids, len(tokens)))
        assert not failed, f"llama_decode returned {failed}"
        self._api.llama_get_logits_ith(context, -1)
        return time.perf_counter() - started


class Genai:
    """onnxruntime-genai on the folder of its own model builder."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime_genai

        self._api, self._setting = onnxruntime_genai, setting
        config = onnxruntime_genai.Config(str(folder))
        config.overlay(
            json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": setting.threads}}}})
        )
        self._model = onnxruntime_genai.Model(config)
        self._prompt = self._generator(setting.prompt_tokens)
        self._deep = self._generator(setting.depth)
        self._deep.append_tokens(
            np.random.default_rng(SEED).integers(0, 1000, setting.depth).astype(np.int32)
        )
        self._deep.generate_next_token()

    def prefill(self, tokens: np.ndarray) -> tuple[float, np.ndarray]:
        self._prompt = self._generator(self._setting.prompt_tokens)
        started = time.perf_counter()
        self._prompt.append_tokens(tokens.astype(np.int32))
        seconds = time.perf_counter() - started
        logits = self._prompt.get_logits().reshape(-1)
        self._prompt.generate_next_token()  # chooses from the prompt's logits: no step of the model
        return seconds, logits

    def decode(self, steps: int) -> list[float]:
        return [self._step(self._prompt) for _ in range(steps)]

    def decode_at_depth(self, steps: int) -> list[float]:
        return [self._step(self._deep) for _ in range(steps)]

    def _generator(self, tokens: int) -> Any:
        options = self._api.GeneratorParams(self._model)
        options.set_search_options(
            max_length=tokens + self._setting.room, min_length=tokens + self._setting.room, do_sample=False
        )
        return self._api.Generator(self._model, options)

    @staticmethod
    def _step(generator: Any) -> float:
        started = time.perf_counter()
        generator.generate_next_token()
        return time.perf_counter() - started


ONE_TOKEN = np.array([7], np.int64)


def serve(connection: Connection, make: Callable[[], Engine]) -> None:
    """Be the process of one engine: say "" or why it can't run, then answer calls until the other end closes."""
    try:
        engine = make()
    except (RuntimeError, AssertionError) as error:
        connection.send(str(error).splitlines()[0])
        return
    connection.send("")
    while True:
        try:
            name, argument = connection.recv()
        except EOFError:
            return
        connection.send(getattr(engine, name)(argument))
