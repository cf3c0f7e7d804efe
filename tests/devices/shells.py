"""The kinds of shell that a device may have, as far as they are installed here: Android's is mksh with toybox."""

import shutil
import subprocess
from pathlib import Path

import pytest

SHELLS = ("this machine's", "mksh and toybox", "busybox")


def tools_of(kind: str, folder: Path) -> Path:
    """Put `sh` and the tools of one kind into a folder for PATH; the test is skipped where it isn't installed."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "this machine's":
        return folder
    shell, tools = (
        (_program("mksh"), _program("toybox")) if kind == "mksh and toybox" else (_program("busybox"),) * 2
    )
    listing = [tools] if kind == "mksh and toybox" else [tools, "--list"]
    applets = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
    for name in {*applets} - {"sh"}:
        (folder / name).symlink_to(tools)
    (folder / "sh").symlink_to(shell)
    return folder


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt install {name}")
    return found
