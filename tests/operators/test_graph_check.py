"""A graph that asks for more than plain operators on its own pool does not travel."""

from collections.abc import Callable

import onnx
import pytest
from onnx import TensorProto, helper

from operators.errors import LoweringError
from operators.graph_check import LARGEST_GRAPH_BYTES, check_graph
from operators.lowering import lower
from operators.precision import Precision
from tests.operators.builders import an_architecture

GRAPH = lower(an_architecture(), 64, Precision(4, 32), 1)
POOL_BYTES = 1 << 30


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(GRAPH.onnx_bytes)
    change(model)
    return bytes(model.SerializeToString())


def an_external(model: onnx.ModelProto, key: str, value: str) -> None:
    tensor = next(each for each in model.graph.initializer if each.external_data)
    next(entry for entry in tensor.external_data if entry.key == key).value = value


def a_branch(model: onnx.ModelProto) -> None:
    empty = helper.make_graph([], "empty", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=empty, else_branch=empty))


def a_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("own", "f", ["x"], ["y"], [], []))


def test_what_the_lowering_writes_may_travel() -> None:
    check_graph(GRAPH.onnx_bytes, POOL_BYTES)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: an_external(m, "location", "../../etc/passwd"), "lies in '../../etc/passwd'"),
        (lambda m: an_external(m, "offset", str(POOL_BYTES)), "not within its pool"),
        (lambda m: an_external(m, "length", "-1"), "not within its pool"),
        (lambda m: m.graph.node.append(helper.make_node("Evil", ["x"], ["y"], domain="x.y")), "x.y.Evil"),
        (a_branch, "If holds a graph of its own"),
        (a_function, "defines the function 'f'"),
        (
            lambda m: m.graph.initializer.append(
                helper.make_tensor(
                    "big", TensorProto.UINT8, [LARGEST_GRAPH_BYTES], bytes(LARGEST_GRAPH_BYTES), raw=True
                )
            ),
            "at most 4000000 may travel",
        ),
    ],
)
def test_a_graph_that_asks_for_more_is_named(change: Callable[[onnx.ModelProto], object], told: str) -> None:
    with pytest.raises(LoweringError) as refusal:
        check_graph(changed(change), POOL_BYTES)
    assert told in str(refusal.value)


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(LoweringError, match="can't be read"):
        check_graph(b"\x08\xff\xff", POOL_BYTES)
