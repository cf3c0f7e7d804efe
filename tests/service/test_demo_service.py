"""The service behind a demo: shared by demos that start together, and ended with a demo that is interrupted."""

import io
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from service.data_folder import find_running
from service.demo_service import DemoService
from service.settings import Settings


def a_demo_service(folder: Path, console: Console) -> DemoService:
    return DemoService(Settings(data_folder=folder, port=0), keep=False, console=console)


def test_two_demos_that_start_at_once_share_one_service(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), record=True)
    demos = [a_demo_service(tmp_path / "data", console) for _ in range(2)]
    with ExitStack() as ends, ThreadPoolExecutor() as threads:
        for demo in threads.map(DemoService.__enter__, demos):
            ends.push(demo)
        assert demos[0].url == demos[1].url
        with demos[0].client() as client:
            assert client.studies() == []
        for demo in demos:
            demo.say_how_it_goes_on("/studies/x")
    told = console.export_text()
    assert "run `loopfront up`" in told, "the demo that started the service ends it"
    assert "for as long as the service runs" in told, "the other one promises nothing"
    assert find_running(tmp_path / "data", 0) is None


def test_interrupted_while_it_starts_a_demo_leaves_no_service_behind(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    # Where the tests run in the background, an interrupt is ignored unless one asks for it.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import service.cli as c; c.main()"
    command = [sys.executable, "-c", code, "demo", "--keep", "--data-folder", str(folder), "--port", "0"]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (folder / "service.log").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) != 0
    assert find_running(folder) is None
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder) in _text(path)]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
