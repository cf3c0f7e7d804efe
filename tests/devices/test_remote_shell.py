"""The frame around a remote command, as shells write it, Android's kind among them, and as it may arrive."""

import hashlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from devices.page_placement import malloc_tunables, with_placed_pages
from devices.remote_shell import (
    Framed,
    digests,
    framed,
    kill_group,
    names,
    push,
    read_digests,
    read_frame,
    remove,
)
from tests.devices.shells import SHELLS, tools_of

MARK = "0123456789abcdef"


@pytest.fixture(params=SHELLS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH whose `sh`, and as many of its tools as there are, are of one kind."""
    return f"{tools_of(request.param, tmp_path_factory.mktemp('tools'))}:{os.environ['PATH']}"


def told(path: str, *command: str, standard_input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", framed(command, MARK)],
        input=standard_input,
        capture_output=True,
        env={**os.environ, "PATH": path},
        check=False,
    )


def errors_of(path: str, *command: str) -> str:
    """What comes over the error stream, the process group put as 7."""
    first, _, rest = told(path, *command).stderr.decode().partition("\n")
    assert first.startswith(f"{MARK} group ")
    return f"{MARK} group 7\n{rest}"


def test_a_status_and_the_complaints_come_through_the_frame(path: str) -> None:
    frame = read_frame(errors_of(path, "sh", "-c", "echo oh >&2; exit 3"), MARK)
    assert frame == Framed(group=7, status=3, is_missing=False, errors="oh\n")


def test_complaints_without_an_end_of_line_do_not_swallow_the_status(path: str) -> None:
    assert read_frame(errors_of(path, "sh", "-c", "printf oh >&2"), MARK) == Framed(7, 0, False, "oh")


def test_a_signal_is_a_negative_status(path: str) -> None:
    assert read_frame(errors_of(path, "sh", "-c", "kill -11 $$"), MARK).status == -11


def test_a_command_that_is_not_there_is_told_apart_from_one_that_fails_with_127(path: str) -> None:
    assert read_frame(errors_of(path, "/no-such-command"), MARK).is_missing
    assert not read_frame(errors_of(path, "sh", "-c", "exit 127"), MARK).is_missing


def test_a_command_runs_with_the_tunables_of_its_pages(path: str) -> None:
    assert told(path, *with_placed_pages(["sh", "-c", "echo $GLIBC_TUNABLES"])).stdout.decode().strip() == (
        malloc_tunables()
    )


def test_a_process_group_is_killed_with_all_that_is_in_it(path: str) -> None:
    shell = subprocess.Popen(
        ["sh", "-c", framed(["sh", "-c", "sleep 60 & echo $!; wait"], MARK)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PATH": path},
    )
    with shell:
        assert shell.stdout is not None
        child = Path(f"/proc/{int(shell.stdout.readline())}/stat")
        line = shlex.join(kill_group(shell.pid))
        subprocess.run(["sh", "-c", line], env={**os.environ, "PATH": path}, check=True)
    assert shell.returncode == -9
    deadline_s = time.monotonic() + 5
    while child.exists() and ") Z" not in child.read_text():
        assert time.monotonic() < deadline_s


@pytest.mark.parametrize(
    "arrived",
    [
        "",
        f"{MARK} gro",
        f"{MARK} group 7\nbeat\n",
        f"{MARK} group 7\n{MARK} status 0",  # cut before the end of the line
        f"{MARK} group 7\nfedcba9876543210 status 0\n",  # said by the command itself
    ],
)
def test_a_frame_that_is_cut_off_tells_no_status(arrived: str) -> None:
    assert read_frame(arrived, MARK).status is None


def test_a_push_arrives_whole_or_not_at_all(path: str, tmp_path: Path) -> None:
    folder, whole = tmp_path / "new", b"whole" * 1000
    words = (str(folder), str(folder / "x.part"), str(folder / "x"), hashlib.sha256(whole).hexdigest())
    assert read_frame(told(path, *push(*words), standard_input=whole[:-1]).stderr.decode(), MARK).errors == (
        "what arrived is not what was sent\n"
    )
    assert list(folder.iterdir()) == []
    told(path, *push(*words), standard_input=whole)
    assert [(each.name, each.read_bytes()) for each in folder.iterdir()] == [("x", whole)]


def test_names_that_begin_with_a_dash_or_hold_a_blank_are_no_options(path: str, tmp_path: Path) -> None:
    (tmp_path / "-rf").mkdir()
    (tmp_path / "-rf" / "a b").write_text("")
    (tmp_path / "-rf" / ".hidden").write_text("")
    assert sorted(told(path, *names(str(tmp_path / "-rf"))).stdout.split(b"\n")) == [b"", b".hidden", b"a b"]
    assert told(path, *names(str(tmp_path / "missing"))).stdout == b""
    subprocess.run(remove("-rf"), cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_push_whose_line_is_gone_tidies_up_though_nobody_hears_it(tmp_path: Path) -> None:
    command = push(
        str(tmp_path / "new"), str(tmp_path / "new" / "x.part"), str(tmp_path / "new" / "x"), "0" * 64
    )
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shell:
        assert shell.stdin is not None
        assert shell.stderr is not None
        shell.stderr.close()
        shell.stdin.write(b"half")
        shell.stdin.close()
        shell.wait(timeout=10)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.fixture
def as_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH that holds shasum and no sha256sum."""
    if shutil.which("shasum") is None:
        pytest.skip("shasum is not installed: apt install perl")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir", "cat", "cut", "mv", "rm", "shasum", "perl"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.usefixtures("as_on_macos")
def test_digests_are_taken_by_shasum_where_there_is_no_sha256sum(tmp_path: Path) -> None:
    content, target = b"whole", tmp_path / "new" / "x"
    command = push(str(target.parent), f"{target}.part", str(target), hashlib.sha256(content).hexdigest())
    subprocess.run(command, input=content, check=True)
    assert target.read_bytes() == content
    assert digests_of(target.parent, "x") == {"x": hashlib.sha256(content).hexdigest()}


def test_digests_are_told_of_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"1")
    (tmp_path / "-c").write_bytes(b"2")
    (tmp_path / "folder").mkdir()
    told = digests_of(tmp_path, "a b", "-c", "folder", "missing")
    assert told == {"a b": hashlib.sha256(b"1").hexdigest(), "-c": hashlib.sha256(b"2").hexdigest()}
    assert digests_of(tmp_path / "nowhere", "a b") == {}


def digests_of(folder: Path, *file_names: str) -> dict[str, str]:
    done = subprocess.run(digests(str(folder), file_names), capture_output=True, text=True, check=False)
    return read_digests(done.stdout.splitlines())
