import threading

import pytest

from devices.connection import Limits
from devices.local import LocalConnection
from tests.benchmarks.fleet.overhead import BETWEEN, FETCH, REPORT, STARTS, Job, seconds_of
from tests.benchmarks.fleet.watched_connection import (
    FILES,
    GRAPH,
    LOOK,
    PLAN,
    RUNNER,
    Call,
    WatchedConnection,
    runner_seconds,
)


def test_every_second_between_lease_and_result_is_in_one_part() -> None:
    calls = [
        Call(GRAPH, 10.5, 10.7),
        Call(LOOK, 10.8, 11.0),
        Call(LOOK, 11.2, 11.4),
        Call(PLAN, 11.5, 11.6),
        Call(RUNNER, 11.6, 15.6, runner_s=3.5),
    ]
    found = seconds_of(Job((10.0, 16.0), calls))
    expected = {
        GRAPH: 0.2,
        LOOK: 0.6,
        PLAN: 0.1,
        RUNNER: 3.5,
        STARTS: 0.5,
        BETWEEN: 0.2,
        FETCH: 0.5,
        REPORT: 0.4,
    }
    assert found == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(6.0)


def test_a_watched_connection_notes_what_goes_over_it(tmp_path) -> None:
    connection, stop = WatchedConnection(LocalConnection()), threading.Event()
    connection.push(b"graph", str(tmp_path / "a.onnx"))
    connection.push(b"plan", str(tmp_path / "plan.txt"))
    connection.names(str(tmp_path))
    done = '{"record": "done", "seconds": 1.5}'
    for text in ("no record", done):
        connection.run(["echo", text], Limits(10, 10), stop)
    assert [call.kind for call in connection.calls] == [GRAPH, PLAN, FILES, LOOK, RUNNER]
    assert connection.calls[-1].runner_s == 1.5
    assert all(call.ended_s >= call.started_s for call in connection.calls)


@pytest.mark.parametrize("line", ["", "text", "[]", '{"record": "failed", "seconds": 3}'])
def test_only_a_runners_last_record_tells_its_seconds(line: str) -> None:
    assert runner_seconds([line]) is None
    assert runner_seconds([]) is None
    assert runner_seconds(['{"record": "done", "seconds": 0.0}']) == 0.0  # a pool that was kept
