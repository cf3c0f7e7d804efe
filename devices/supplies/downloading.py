"""Fetches one archive into a folder, whole and with the pinned digest or not at all."""

import hashlib
import importlib.util
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx2

from devices.errors import SupplyError
from devices.supplies.pins import Archive, PipRequest

_STALLED_S = 30.0
"""A server that sends nothing for so long is given up."""

_PIP_S = 3600.0
_PIP_COMPLAINT_CHARACTERS = 300

log = logging.getLogger(__name__)


def fetch(archive: Archive, folder: Path) -> Path:
    """Return the archive in `folder`, downloaded unless a sound one is there; raises SupplyError with a way out."""
    path = folder / archive.file
    if is_sound(path, archive.sha256):
        return path
    log.info("downloading %s (%.1f MB)", archive.file, archive.size_bytes / 1e6)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
            _download(archive, Path(scratch)).replace(path)
    except OSError as error:
        raise SupplyError(f"{path} can't be written: {error.strerror or error}") from error
    return path


def is_sound(path: Path, sha256: str) -> bool:
    """Tell whether a file is there and holds what was pinned."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def described(archive: Archive) -> str:
    """Name an archive so that it can be looked for elsewhere."""
    return f"{archive.file} ({archive.size_bytes / 1e6:.1f} MB, sha256 {archive.sha256})"


def _download(archive: Archive, folder: Path) -> Path:
    """Try pip, where it is asked for and installed, else one place after the other."""
    path, complaints = folder / archive.file, []
    for name, attempt in _attempts(archive, folder):
        complaint = attempt()
        if complaint is None and is_sound(path, archive.sha256):
            return path
        complaints.append(f"{name}: {complaint or 'another file than the pinned one came'}")
    raise SupplyError(
        f"{described(archive)} can't be fetched: {'; '.join(complaints)}. Without a network here, type "
        "`loopfront agent fetch --to DIR` on a machine that has one, and give DIR here with --from-dir"
    )


def _attempts(archive: Archive, folder: Path) -> list[tuple[str, Callable[[], str | None]]]:
    if archive.pip is not None and importlib.util.find_spec("pip"):
        return [("pip", partial(_by_pip, archive, archive.pip, folder))]
    return [(place, partial(_from, place, archive, folder)) for place in archive.places]


def _by_pip(archive: Archive, asked: PipRequest, folder: Path) -> str | None:
    """Let pip download a wheel, from whichever index its user has set; return a complaint."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{asked.requirement} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "download",
        "--quiet",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--progress-bar", "off"]
    command += ["--platform", asked.platform, "--python-version", asked.python, "--implementation", "cp"]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    # Not in the current folder: what lies there would be imported in pip's place.
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=_PIP_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {_PIP_S:.0f} s"
    return None if done.returncode == 0 else _last_error(done.stderr) or f"exit status {done.returncode}"


def _last_error(errors: str) -> str:
    lines = [line.removeprefix("ERROR: ").strip() for line in errors.splitlines() if line.startswith("ERROR")]
    return lines[-1][:_PIP_COMPLAINT_CHARACTERS] if lines else errors.strip()[-_PIP_COMPLAINT_CHARACTERS:]


def _from(place: str, archive: Archive, folder: Path) -> str | None:
    """Download over http or https; return a complaint. No more is read than the file may be long."""
    try:
        with (
            httpx2.stream("GET", place, timeout=_STALLED_S, follow_redirects=True) as answer,
            (folder / archive.file).open("wb") as file,
        ):
            if answer.status_code != httpx2.codes.OK:
                return f"answers {answer.status_code}"
            for chunk in answer.iter_bytes():
                if file.tell() + len(chunk) > archive.size_bytes:
                    return "more came than the pinned file holds"
                file.write(chunk)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return str(error) or type(error).__name__
    return None
