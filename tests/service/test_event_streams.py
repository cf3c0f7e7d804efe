"""A thousand event streams, opened and dropped: nothing stays behind, and those that watch on miss nothing."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import Running, a_service, a_small_study, as_owner
from waiting import wait_until

STREAMS = 1000


@pytest.fixture
def running(tmp_path: Path, every_database: str) -> Iterator[Running]:
    with many_files(3 * STREAMS), a_service(tmp_path) as running:
        yield running


@contextmanager
def many_files(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"this user may open {hard} files at most: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_stream(running: Running) -> socket.socket:
    """Ask for the fleet's events as a browser does, and read until they begin."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    stream = socket.create_connection((host, int(port)), timeout=30)
    token = running.owner_headers["Authorization"]
    stream.sendall(
        f"GET /api/v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {token}\r\n\r\n".encode()
    )
    told = b""
    while b"events of loopfront" not in told:
        part = stream.recv(4096)
        assert part, told
        told += part
    return stream


def streams_of(running: Running) -> int:
    metrics = as_owner("GET", f"{running.url}/api/v1/metrics").text
    line = next(each for each in metrics.splitlines() if each.startswith("loopfront_event_streams "))
    return int(float(line.split()[1]))


def test_a_thousand_streams_are_opened_and_dropped(running: Running) -> None:
    with running.client() as client:
        streams = [open_stream(running) for _ in range(STREAMS)]
        assert streams_of(running) == STREAMS
        client.submit_study(a_small_study("first"))
        for stream in streams[::100]:
            assert "first" in read_until(stream, b"first")
        for stream in streams[:-1]:
            stream.close()
        wait_until(lambda: streams_of(running) == 1)
        client.submit_study(a_small_study("second"))
        assert "second" in read_until(streams[-1], b"second")
        streams[-1].close()
        wait_until(lambda: streams_of(running) == 0)


def read_until(stream: socket.socket, wanted: bytes) -> str:
    told = b""
    while wanted not in told:
        part = stream.recv(65536)
        assert part, "the stream has ended"
        told += part
    return told.decode()
