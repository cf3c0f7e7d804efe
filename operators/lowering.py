"""Lowers an architecture to one ONNX graph for prefill and decode, with its weights in the pool."""

import hashlib
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from operators.architecture import Architecture, Block
from operators.errors import LoweringError
from operators.graph import MICROSOFT, GraphBuilder, Placement, State
from operators.pool import Section
from operators.precision import Precision
from operators.registry import MIXERS, Registry

POOL_FILE = "pool.bin"
ONNX_OPSET = 23
IR_VERSION = 10
EMBEDDING = "embedding.weight"
ACCURACY_LEVELS = (0, 4)
LARGEST_BATCH = 1024
LARGEST_CONTEXT = 1 << 20
"""Tokens; the graph holds one fp32 position for each, and none of the families reads more."""


@dataclass(frozen=True)
class LoweredGraph:
    """A candidate as data: the graph's bytes, the pool that its weights lie in, and its recurrent states.

    Inputs: input_ids int64 (batch, tokens); with `uses_sequence_lengths` also seqlens_k int32 (batch,), total - 1, and
    total_sequence_length int32 (); then the states. Outputs: logits fp32 (batch, 1, vocabulary) of the last position,
    then the states.
    """

    onnx_bytes: bytes
    sections: tuple[Section, ...]
    states: tuple[State, ...]
    placements: tuple[Placement, ...]
    vocab_size: int
    context_capacity: int
    uses_sequence_lengths: bool

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of the graph's bytes."""
        return hashlib.sha256(self.onnx_bytes).hexdigest()


def lower(
    architecture: Architecture,
    context_capacity: int,
    precision: Precision = Precision(),  # noqa: B008 - frozen
    batch: int = 1,
    registry: Registry = MIXERS,
    accuracy_level: int = 4,
) -> LoweredGraph:
    """Build the graph of an architecture for at most `context_capacity` tokens; raise LoweringError where it can't be.

    The graph is fixed in batch and capacity and dynamic in the tokens of a step. `accuracy_level` is MatMulNBits': 4
    rounds activations to int8 and is the fast form, 0 computes in fp32 on dequantised weights.
    """
    _require_whole("batch", batch, LARGEST_BATCH)
    _require_whole("context_capacity", context_capacity, LARGEST_CONTEXT)
    if accuracy_level not in ACCURACY_LEVELS:
        raise LoweringError(f"accuracy_level = {accuracy_level!r}: use one of {ACCURACY_LEVELS}")
    graph = GraphBuilder(precision, context_capacity, batch, accuracy_level)
    x = graph.embed("input_ids", EMBEDDING, architecture.vocab_size, architecture.hidden_size)
    if architecture.embedding_scale != 1.0:
        x = graph.node("Mul", x, graph.float_constant("embedding_scale", [architecture.embedding_scale]))
    logits = _head(graph, architecture, *_body(graph, architecture, x, registry))
    graph.append("Identity", [logits], ["logits"], "")
    graph.pool.finish(POOL_FILE)
    return LoweredGraph(
        onnx_bytes=_model(graph, architecture).SerializeToString(deterministic=True),
        sections=graph.pool.sections(),
        states=tuple(graph.states),
        placements=tuple(graph.placements),
        vocab_size=architecture.vocab_size,
        context_capacity=context_capacity,
        uses_sequence_lengths=graph.uses_sequence_lengths,
    )


def _require_whole(name: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise LoweringError(f"{name} = {value!r}: must be a whole number from 1 to {most}")


def _body(graph: GraphBuilder, architecture: Architecture, x: str, registry: Registry) -> tuple[str, str]:
    """Append all blocks; return the residual stream and the last branch, not yet added."""
    d, epsilon = architecture.hidden_size, architecture.norm_epsilon
    normed = graph.rms_norm(x, "blocks.0.mixer_norm.weight", d, epsilon)
    branch = ""
    for i, block in enumerate(architecture.blocks):
        prefix = f"blocks.{i}"
        if i > 0:
            normed, x = _add_and_norm(graph, x, branch, f"{prefix}.mixer_norm.weight", architecture)
        mixed = registry[block.mixer.name].lower(graph, block.mixer, d, normed, f"{prefix}.mixer")
        mixed = _sandwich(graph, mixed, f"{prefix}.mixer_out_norm.weight", architecture)
        normed, x = _add_and_norm(graph, x, mixed, f"{prefix}.ffn_norm.weight", architecture)
        branch = _sandwich(
            graph,
            _swiglu(graph, block, architecture, normed, f"{prefix}.ffn"),
            f"{prefix}.ffn_out_norm.weight",
            architecture,
        )
    return x, branch


def _swiglu(graph: GraphBuilder, block: Block, architecture: Architecture, x: str, prefix: str) -> str:
    hidden_size, width = architecture.hidden_size, block.ffn.width
    gate, up = graph.split(graph.matmul(x, f"{prefix}.in_proj", hidden_size, 2 * width), (width, width))
    if architecture.activation == "silu":
        activated = graph.silu(gate)
    else:
        activated = graph.node("FastGelu", gate, domain=MICROSOFT)
    return graph.matmul(graph.node("Mul", activated, up), f"{prefix}.out_proj", width, hidden_size)


def _sandwich(graph: GraphBuilder, x: str, parameter: str, architecture: Architecture) -> str:
    if architecture.norm_placement != "sandwich":
        return x
    return graph.rms_norm(x, parameter, architecture.hidden_size, architecture.norm_epsilon)


def _add_and_norm(
    graph: GraphBuilder, x: str, branch: str, parameter: str, architecture: Architecture
) -> tuple[str, str]:
    """Add a branch to the residual stream and norm the sum in one node; return (normed, sum)."""
    gain = graph.gain(parameter, (architecture.hidden_size,))
    normed, total = graph.fresh("normed"), graph.fresh("residual")
    graph.append(
        "SkipSimplifiedLayerNormalization", [x, branch, gain], [normed, "", "", total], MICROSOFT,
        epsilon=architecture.norm_epsilon,
    )  # fmt: skip
    return normed, total


def _head(graph: GraphBuilder, architecture: Architecture, x: str, branch: str) -> str:
    """Norm and project the last position only: a prompt needs no other logits."""
    bounds = [graph.int64_constant([value]) for value in (-1, 2**31 - 1, 1)]
    x, branch = (graph.node("Slice", tensor, *bounds) for tensor in (x, branch))
    normed, _ = _add_and_norm(graph, x, branch, "final_norm.weight", architecture)
    if architecture.tie_embeddings:
        return graph.tied_head(normed, EMBEDDING)
    return graph.matmul(normed, "head", architecture.hidden_size, architecture.vocab_size)


def _model(graph: GraphBuilder, architecture: Architecture) -> onnx.ModelProto:
    lengths = [
        helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, [graph.batch]),
        helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, []),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [graph.batch, "tokens"])]
    inputs += lengths if graph.uses_sequence_lengths else []
    inputs += [_state_info(state.input_name, state) for state in graph.states]
    logits_shape = [graph.batch, 1, architecture.vocab_size]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits_shape)]
    outputs += [_state_info(state.output_name, state) for state in graph.states]
    body = helper.make_graph(graph.nodes, "candidate", inputs, outputs, list(graph.initializers.values()))
    opsets = [helper.make_opsetid("", ONNX_OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="loopfront")


def _state_info(name: str, state: State) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, state.shape)
