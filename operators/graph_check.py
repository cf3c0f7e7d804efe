"""Checks a graph before it travels: small, plain operators, and weights nowhere but in its pool."""

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError

from operators.errors import LoweringError
from operators.lowering import POOL_FILE

LARGEST_GRAPH_BYTES = 4_000_000
"""LFM3-1.7B's graph has 119 KB; a device keeps a graph in memory beside the model."""

DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
"""What ONNX Runtime implements itself; any other would ask it to load code."""


def check_graph(onnx_bytes: bytes, pool_bytes: int) -> None:
    """Raise LoweringError, with the node or tensor, if a graph asks for more than running plain operators on its pool.

    `pool_bytes` is the size of the file that its weights lie in.
    """
    if len(onnx_bytes) > LARGEST_GRAPH_BYTES:
        raise LoweringError(
            f"the graph has {len(onnx_bytes)} bytes; at most {LARGEST_GRAPH_BYTES} may travel"
        )
    try:
        model = onnx.load_from_string(onnx_bytes)
    except DecodeError as error:
        raise LoweringError(f"the graph can't be read: {error}") from None
    if model.functions:
        raise LoweringError(f"the graph defines the function {model.functions[0].name!r}: inline it")
    for node in model.graph.node:
        _check_node(node)
    for tensor in _tensors(model.graph):
        _check_tensor(tensor, pool_bytes)


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in DOMAINS:
        raise LoweringError(
            f"node {node.name!r}: {node.domain}.{node.op_type} isn't ONNX Runtime's own operator"
        )
    for attribute in node.attribute:
        if attribute.HasField("g") or attribute.graphs:
            raise LoweringError(f"node {node.name!r}: {node.op_type} holds a graph of its own; unroll it")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t


def _check_tensor(tensor: onnx.TensorProto, pool_bytes: int) -> None:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    if place.get("location") != POOL_FILE:
        raise LoweringError(f"tensor {tensor.name!r} lies in {place.get('location')!r}, not in {POOL_FILE}")
    offset, length = place.get("offset", "0"), place.get("length", "0")
    if not (offset.isdecimal() and length.isdecimal() and int(offset) + int(length) <= pool_bytes):
        raise LoweringError(
            f"tensor {tensor.name!r}: {length} bytes from {offset} on are not within its pool of {pool_bytes}"
        )
