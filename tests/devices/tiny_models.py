"""Build small ONNX models with a KV cache and a conv state, their pools, and what they must answer."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import of onnxruntime, which would write under HOME

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from devices.plan import ModelFiles, PoolSection, PoolSpec, StateSpec

CAPACITY_TOKENS = 96
HEAD_SIZE = 16
KERNEL_SIZE = 3


def mix64(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def section_bytes(seed: int, index: int, section: PoolSection) -> bytes:
    key = mix64(np.array([(seed + index * 0xD1B54A32D192ED03) % 2**64], np.uint64))
    words = section.count if section.kind == "uniform" else -(-section.count // 8)
    counted = np.arange(1, words + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        drawn = mix64(key + counted * np.uint64(0x9E3779B97F4A7C15))
    if section.kind != "uniform":
        drawn_bytes = drawn.astype("<u8").view(np.uint8)[: section.count]
        return without_zero_nibbles(drawn_bytes) if section.kind == "nibbles" else drawn_bytes.tobytes()
    share = (drawn >> np.uint64(40)).astype(np.float64) / 2**24
    return (section.low + (section.high - section.low) * share).astype("<f4").tobytes()


def without_zero_nibbles(content: np.ndarray) -> bytes:
    low, high = content & 15, content >> 4
    low[low == 0], high[high == 0] = 8, 8
    return (low | high << 4).astype(np.uint8).tobytes()


def pool_bytes(pool: PoolSpec) -> bytes:
    """Make in numpy the very bytes that the runner must make."""
    content = bytearray(pool.size_bytes)
    for index, (section, offset) in enumerate(zip(pool.sections, pool.offsets, strict=True)):
        content[offset : offset + section.size_bytes] = section_bytes(pool.seed, index, section)
    return bytes(content)


@dataclass(frozen=True)
class TinyModel:
    files: ModelFiles
    graph: bytes

    def write(self, folder: Path) -> Path:
        """Lay the graph and its pool side by side, as they lie on a device."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pool.bin").write_bytes(pool_bytes(self.files.pool))
        path = folder / f"{self.files.graph_sha256}.onnx"
        path.write_bytes(self.graph)
        return path

    def expected_logits(
        self, folder: Path, prompt_ids: tuple[int, ...], decode_ids: tuple[int, ...]
    ) -> list[list[float]]:
        """Ask ONNX Runtime through Python, in one go per row: a second way to the same numbers."""
        session = onnxruntime.InferenceSession(str(self.write(folder)), providers=["CPUExecutionProvider"])
        rows = []
        for known in range(len(decode_ids) + 1):
            ids = [*prompt_ids, *decode_ids[:known]]
            feeds = {
                "input_ids": np.array([ids], np.int64),
                "seqlens_k": np.array([len(ids) - 1], np.int32),
                "total_sequence_length": np.array(len(ids), np.int32),
                **{state.input_name: np.zeros(state.shape, np.float32) for state in self.files.states},
            }
            rows.append([float(value) for value in session.run(["logits"], feeds)[0].ravel()])
        return rows


def tiny_model(
    name: str = "tiny", hidden_size: int = 32, vocab_size: int = 64, seed: int = 7, operator: str = "Identity"
) -> TinyModel:
    """Build embedding ▸ causal conv ▸ attention ▸ logits; `operator` is applied before the logits."""
    shapes = {
        "embedding": (vocab_size, hidden_size),
        "conv": (hidden_size, 1, KERNEL_SIZE),
        "query": (hidden_size, hidden_size),
        "key": (hidden_size, HEAD_SIZE),
        "value": (hidden_size, HEAD_SIZE),
        "head": (hidden_size, vocab_size),
    }
    # Sections of odd length make the alignment matter.
    sections = (PoolSection("bytes", 4099), *(_weights(shape) for shape in shapes.values()))
    pool = PoolSpec(seed, sections)
    states = (
        StateSpec("past_conv", "present_conv", (1, hidden_size, KERNEL_SIZE - 1), shared_buffer=False),
        StateSpec("past_key", "present_key", (1, 1, CAPACITY_TOKENS, HEAD_SIZE), shared_buffer=True),
        StateSpec("past_value", "present_value", (1, 1, CAPACITY_TOKENS, HEAD_SIZE), shared_buffer=True),
    )
    graph = helper.make_graph(
        _nodes(hidden_size, operator),
        name,
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"]),
            helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, [1]),
            helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, []),
            *(helper.make_tensor_value_info(s.input_name, TensorProto.FLOAT, s.shape) for s in states),
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, vocab_size]),
            *(helper.make_tensor_value_info(s.output_name, TensorProto.FLOAT, s.shape) for s in states),
        ],
        [
            helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
            *(
                _external(weight, shape, offset, section)
                for (weight, shape), offset, section in zip(
                    shapes.items(), pool.offsets[1:], sections[1:], strict=True
                )
            ),
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    return TinyModel(ModelFiles(name, digest, len(content), pool, vocab_size, True, states), content)


def _weights(shape: tuple[int, ...]) -> PoolSection:
    return PoolSection("uniform", int(np.prod(shape)), -0.3, 0.3)


def _external(name: str, shape: tuple[int, ...], offset: int, section: PoolSection) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "pool.bin"), ("offset", offset), ("length", section.size_bytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _nodes(hidden_size: int, operator: str) -> list[onnx.NodeProto]:
    microsoft = {"domain": "com.microsoft"}
    attention = {"num_heads": hidden_size // HEAD_SIZE, "kv_num_heads": 1, **microsoft}
    lengths = ["seqlens_k", "total_sequence_length"]
    return [
        helper.make_node("Gather", ["embedding", "input_ids"], ["x"]),
        helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 2, 1]),
        helper.make_node(
            "CausalConvWithState",
            ["channels", "conv", "", "past_conv"],
            ["mixed", "present_conv"],
            **microsoft,
        ),
        helper.make_node("Transpose", ["mixed"], ["y"], perm=[0, 2, 1]),
        *(helper.make_node("MatMul", ["y", name], [name[0]]) for name in ("query", "key", "value")),
        helper.make_node(
            "GroupQueryAttention",
            ["q", "k", "v", "past_key", "past_value", *lengths],
            ["attended", "present_key", "present_value"],
            **attention,
        ),
        helper.make_node("Gather", ["attended", "last"], ["at_last"], axis=1),
        helper.make_node(operator, ["at_last"], ["ready"]),
        helper.make_node("MatMul", ["ready", "head"], ["logits"]),
    ]
