"""Builds the ONNX graph of a candidate: nodes, weights placed in the pool, and recurrent states."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import onnx
from onnx import TensorProto, helper

from operators.errors import LoweringError
from operators.pool import PoolLayout, Region
from operators.precision import Precision

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class State:
    """One recurrent tensor (fp32) that a decode step reads as `input_name` and writes as `output_name`.

    With `shared_buffer` both names are bound to the same memory (a KV cache); without, the two swap after a step.
    """

    input_name: str
    output_name: str
    shape: tuple[int, ...]
    shared_buffer: bool


@dataclass(frozen=True)
class Placement:
    """Where a torch parameter's values lie in the pool: quantised codes and scales, or plain fp32 values."""

    parameter: str
    shape: tuple[int, ...]
    region: Region
    scales: Region | None = None


@dataclass
class GraphBuilder:
    """Collects nodes, initializers and states while the mixers lower themselves."""

    precision: Precision
    context_capacity: int
    batch: int
    accuracy_level: int = 4
    pool: PoolLayout = field(init=False)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    uses_sequence_lengths: bool = False
    _counter: int = 0

    def __post_init__(self) -> None:
        self.pool = PoolLayout(self.precision.bits)

    # Nodes

    def fresh(self, hint: str) -> str:
        """Return a tensor name not used before."""
        self._counter += 1
        return f"{hint}_{self._counter}"

    def nodes_out(
        self, op: str, inputs: Sequence[str], outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Append a node with `outputs` fresh outputs and return their names."""
        names = [self.fresh(op.lower()) for _ in range(outputs)]
        self.append(op, inputs, names, domain, **attributes)
        return names

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output and return its name."""
        return self.nodes_out(op, inputs, 1, domain, **attributes)[0]

    def append(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str, **attributes: Any
    ) -> None:
        """Append a node whose output names are given."""
        self.nodes.append(helper.make_node(op, inputs, outputs, domain=domain, **attributes))

    def split(self, x: str, sizes: Sequence[int]) -> list[str]:
        """Cut the last axis into pieces of the given sizes."""
        return self.nodes_out("Split", [x, self.int64_constant(sizes)], len(sizes), axis=-1)

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Reshape; 0 keeps a dimension, -1 infers one."""
        return self.node("Reshape", x, self.int64_constant(shape))

    # Constants kept inside the graph: small ones only

    def int64_constant(self, values: Sequence[int]) -> str:
        """Return an int64 vector constant, shared between equal uses."""
        name = "i64_" + "_".join(str(value).replace("-", "m") for value in values)
        if name not in self.initializers:
            self.initializers[name] = helper.make_tensor(name, TensorProto.INT64, [len(values)], list(values))
        return name

    def float_constant(self, hint: str, values: Sequence[float], shape: Sequence[int] | None = None) -> str:
        """Return an fp32 constant named by `hint`; the same hint must mean the same values."""
        if hint not in self.initializers:
            dims = [len(values)] if shape is None else list(shape)
            self.initializers[hint] = helper.make_tensor(hint, TensorProto.FLOAT, dims, list(values))
        return hint

    # Weights, all in the pool

    def matmul(self, x: str, prefix: str, columns: int, rows: int) -> str:
        """Multiply by the weight `prefix`.weight of shape (rows, columns), as torch's Linear does."""
        return self._multiply(x, prefix, self._place_matrix(f"{prefix}.weight", rows, columns))

    def embed(self, ids: str, parameter: str, vocab_size: int, hidden_size: int) -> str:
        """Look up rows of the embedding table `parameter`; `tied_head` reads the same bytes."""
        block, bits = self.precision.block_size, self.precision.bits
        placement = self._place_matrix(parameter, vocab_size, hidden_size)
        if placement.scales is None:
            shape = (vocab_size, hidden_size)
            table = self._external("embedding.weight", TensorProto.FLOAT, shape, placement.region)
            return self.node("Gather", table, ids, axis=0)
        data = self._external(
            "embedding.codes", TensorProto.UINT8, (vocab_size, hidden_size * bits // 8), placement.region
        )
        scales_shape = (vocab_size, hidden_size // block)
        s = self._external("embedding.scales", TensorProto.FLOAT, scales_shape, placement.scales)
        return self.node(
            "GatherBlockQuantized", data, ids, s, domain=MICROSOFT,
            bits=bits, block_size=block, gather_axis=0, quantize_axis=1,
        )  # fmt: skip

    def tied_head(self, x: str, parameter: str) -> str:
        """Multiply by the embedding table placed before, sharing its bytes in the pool."""
        return self._multiply(x, "head", next(p for p in self.placements if p.parameter == parameter))

    def gain(self, parameter: str, shape: Sequence[int]) -> str:
        """Place an fp32 tensor of values near 1: norm weights."""
        return self._place_vector(parameter, shape, "gains")

    def small(self, parameter: str, shape: Sequence[int]) -> str:
        """Place an fp32 tensor of small values around 0: conv kernels, biases, low-rank factors."""
        return self._place_vector(parameter, shape, "smalls")

    def _multiply(self, x: str, prefix: str, placement: Placement) -> str:
        (rows, columns), block, bits = placement.shape, self.precision.block_size, self.precision.bits
        if placement.scales is None:
            weight = self._external(f"{prefix}.weight", TensorProto.FLOAT, (rows, columns), placement.region)
            return self.node("FusedMatMul", x, weight, domain=MICROSOFT, transB=1)
        codes_shape = (rows, columns // block, block * bits // 8)
        b = self._external(f"{prefix}.codes", TensorProto.UINT8, codes_shape, placement.region)
        s = self._external(f"{prefix}.scales", TensorProto.FLOAT, (rows, columns // block), placement.scales)
        return self.node(
            "MatMulNBits", x, b, s, domain=MICROSOFT,
            K=columns, N=rows, bits=bits, block_size=block, accuracy_level=self.accuracy_level,
        )  # fmt: skip

    def _place_matrix(self, parameter: str, rows: int, columns: int) -> Placement:
        if self.precision.is_quantised and columns % self.precision.block_size:
            raise LoweringError(
                f"{parameter}: {columns} input features are not a multiple of the block size "
                f"{self.precision.block_size}"
            )
        codes = self.pool.place("codes", rows * columns * self.precision.bits // 8)
        scales_length = 4 * rows * (columns // self.precision.block_size)
        scales = self.pool.place("scales", scales_length) if self.precision.is_quantised else None
        self.placements.append(Placement(parameter, (rows, columns), codes, scales))
        return self.placements[-1]

    def _place_vector(self, parameter: str, shape: Sequence[int], section: str) -> str:
        count = 1
        for size in shape:
            count *= size
        region = self.pool.place(section, 4 * count)
        self.placements.append(Placement(parameter, tuple(shape), region))
        return self._external(parameter, TensorProto.FLOAT, shape, region)

    def _external(self, name: str, dtype: int, shape: Sequence[int], region: Region) -> str:
        tensor = onnx.TensorProto(name=name, data_type=dtype, dims=list(shape))
        tensor.data_location = TensorProto.EXTERNAL
        self.pool.pending.append((tensor, region))
        self.initializers[name] = tensor
        return name

    # Pieces that several mixers share

    def rms_norm(self, x: str, parameter: str, size: int, epsilon: float) -> str:
        """Normalise the last axis by its root mean square, times a gain."""
        gain = self.gain(parameter, (size,))
        return self.node("SimplifiedLayerNormalization", x, gain, axis=-1, epsilon=epsilon, stash_type=1)

    def silu(self, x: str) -> str:
        """Multiply by the sigmoid of itself."""
        return self.node("QuickGelu", x, domain=MICROSOFT, alpha=1.0)

    def norm_heads(self, x: str, parameter: str, heads: int, head_size: int, epsilon: float) -> str:
        """Normalise every head of (batch, tokens, heads * head_size) by its root mean square, times one gain."""
        normed = self.rms_norm(self.reshape(x, (0, 0, heads, head_size)), parameter, head_size, epsilon)
        return self.reshape(normed, (0, 0, heads * head_size))

    def gated_norm(
        self, x: str, gate: str, parameter: str, heads: int, head_size: int, epsilon: float
    ) -> str:
        """Norm every head and multiply by the silu of the gate; the GatedRMSNorm kernel takes 5 to 30 times as long."""
        return self.node("Mul", self.norm_heads(x, parameter, heads, head_size, epsilon), self.silu(gate))

    def causal_conv(self, x: str, parameter: str, channels: int, kernel_size: int) -> str:
        """Convolve causally over time, each channel alone, with a (batch, k-1, channels) state.

        A sum of shifted products: ONNX Runtime's CausalConvWithState takes 3 to 9 times as long for a prompt, and up
        to twice as long for a token. The kernel's columns are cut at load, by constant folding.
        """
        past, present = self.state("conv", (self.batch, kernel_size - 1, channels), shared_buffer=False)
        by_tap = self.node("Transpose", self.small(parameter, (channels, kernel_size)), perm=[1, 0])
        taps = self.nodes_out(
            "Split", [by_tap], kernel_size, axis=0, num_outputs=kernel_size
        )  # (1, channels)
        window = self.node("Concat", past, x, axis=1)  # (b, k - 1 + t, channels)
        # The state is cut here, with the first operand: a Slice would run last and keep the window of every block.
        first = self.fresh("window")
        self.append("Split", [window, self._tokens_and(kernel_size - 1)], [first, present], "", axis=1)
        middle = (self._cut_time(window, i, i + 1 - kernel_size) for i in range(1, kernel_size - 1))
        products = [self.node("Mul", *pair) for pair in zip((first, *middle, x), taps, strict=True)]
        # Of a node's inputs ONNX Runtime runs the later one first: products before sums keeps only one of them alive.
        return reduce(partial(self.node, "Add"), products)

    def _cut_time(self, x: str, start: int, end: int) -> str:
        return self.node("Slice", x, *(self.int64_constant([bound]) for bound in (start, end, 1)))

    def _tokens_and(self, count: int) -> str:
        """Return the vector [tokens of this call, count], computed once in a graph."""
        name = f"tokens_and_{count}"
        if not any(name in node.output for node in self.nodes):
            tokens = self.node("Shape", "input_ids", start=1, end=2)
            self.append("Concat", [tokens, self.int64_constant([count])], [name], "", axis=0)
        return name

    def state(self, hint: str, shape: tuple[int, ...], *, shared_buffer: bool) -> tuple[str, str]:
        """Declare a state and return the names of its input and its output."""
        index = len(self.states)
        state = State(f"past_{hint}_{index}", f"present_{hint}_{index}", shape, shared_buffer)
        self.states.append(state)
        return state.input_name, state.output_name
