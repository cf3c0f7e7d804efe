"""The frame around a remote command, as a shell writes it and as it may arrive."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from devices.remote_shell import Framed, digests, framed, names, push, read_digests, read_frame, remove

MARK = "0123456789abcdef"


def errors_of(*command: str, shell: str = "/bin/sh") -> str:
    """What comes over the error stream, the process group put as 7."""
    done = subprocess.run(
        [shell, "-c", framed(command, MARK)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith(f"{MARK} group ")
    return f"{MARK} group 7\n{rest}"


def test_a_status_and_the_complaints_come_through_the_frame() -> None:
    told = read_frame(errors_of("sh", "-c", "echo oh >&2; exit 3"), MARK)
    assert told == Framed(group=7, status=3, is_missing=False, errors="oh\n")


def test_complaints_without_an_end_of_line_do_not_swallow_the_status() -> None:
    assert read_frame(errors_of("sh", "-c", "printf oh >&2"), MARK) == Framed(7, 0, False, "oh")


def test_a_signal_is_a_negative_status() -> None:
    assert read_frame(errors_of("sh", "-c", "kill -11 $$"), MARK).status == -11


def test_a_command_that_is_not_there_is_told_apart_from_one_that_fails_with_127() -> None:
    assert read_frame(errors_of("/no-such-command"), MARK).is_missing
    assert not read_frame(errors_of("sh", "-c", "exit 127"), MARK).is_missing


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


def test_a_push_that_arrives_cut_short_leaves_nothing(tmp_path: Path) -> None:
    command = push(
        str(tmp_path / "new"), str(tmp_path / "new" / "x.part"), str(tmp_path / "new" / "x"), "0" * 64
    )
    done = subprocess.run(command, input=b"half", capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"what arrived is not what was sent\n")
    assert list((tmp_path / "new").iterdir()) == []


def test_names_that_begin_with_a_dash_or_hold_a_blank_are_no_options(tmp_path: Path) -> None:
    (tmp_path / "-rf").mkdir()
    (tmp_path / "-rf" / "a b").write_text("")
    listed = subprocess.run(names(str(tmp_path / "-rf")), capture_output=True, text=True, check=True).stdout
    assert listed == "a b\n"
    subprocess.run(remove("-rf"), cwd=tmp_path, check=True)
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
