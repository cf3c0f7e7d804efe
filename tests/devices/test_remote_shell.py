"""The frame around a remote command, as a shell writes it and as it may arrive."""

import subprocess
from pathlib import Path

import pytest

from devices.remote_shell import Framed, framed, names, push, read_frame, remove

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
