"""Writes pins.json anew from what PyPI and Debian offer now: python -m devices.supplies.repin

It trusts the https connections to both, so look at what changed before it is committed. Debian drops a package's file
when a newer one takes its place; snapshot.debian.org, the second place, keeps it.
"""

import hashlib
import io
import json
import lzma
import re
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx2

from devices.strict_reading import write
from devices.supplies.pins import PINS_PATH, Archive, GlibcPin, LibraryPin, Member, Pins, PipRequest
from devices.supplies.unpacking import data_of_deb

RUNTIME_VERSION = "1.32.0"
WHEEL_PYTHON = "311"  # the library inside is the same for every Python

# The oldest glibc that has glibc.malloc.hugetlb is 2.35; bookworm gets no point releases any more, so its files stay.
RELEASE = "bookworm"
DEBIAN = "https://deb.debian.org/debian"
SNAPSHOT = "https://snapshot.debian.org/archive/debian"

LICENCES = ("LGPL-2.1", "GPL-2", "GPL-3")
WHEELS = {
    "linux-x86_64": ("manylinux_2_28_x86_64", f"libonnxruntime.so.{RUNTIME_VERSION}"),
    "linux-aarch64": ("manylinux_2_28_aarch64", f"libonnxruntime.so.{RUNTIME_VERSION}"),
    "macos-arm64": ("macosx_14_0_arm64", f"libonnxruntime.{RUNTIME_VERSION}.dylib"),
}
ARCHITECTURES = {
    "x86_64": ("amd64", "ld-linux-x86-64.so.2"),
    "aarch64": ("arm64", "ld-linux-aarch64.so.1"),
}


def taken_from(architecture: str, loader: str) -> dict[str, dict[str, str]]:
    """Return by package which files are taken, by the name under which they lie on a device."""
    folder = f"lib/{architecture}-linux-gnu"
    libc = ("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0")
    return {
        "libc6": {
            **{name: f"{folder}/{name}" for name in (loader, *libc)},
            "LICENCE.glibc": "usr/share/doc/libc6/copyright",
        },
        "libstdc++6": {"libstdc++.so.6": f"usr/{folder}/libstdc++.so.6"},
        "libgcc-s1": {"libgcc_s.so.1": f"{folder}/libgcc_s.so.1"},
        "gcc-12-base": {"LICENCE.gcc": "usr/share/doc/gcc-12-base/copyright"},
        "base-files": {f"LICENCE.{name}": f"usr/share/common-licenses/{name}" for name in LICENCES},
    }


def repin() -> Pins:
    """Ask PyPI and Debian, fetch every archive once, and return the table."""
    with httpx2.Client(timeout=120, follow_redirects=True) as client:
        libraries = tuple(_library(client, platform) for platform in WHEELS)
        glibc = tuple(_glibc(client, architecture) for architecture in ARCHITECTURES)
    return Pins(libraries, glibc)


def _library(client: httpx2.Client, platform: str) -> LibraryPin:
    tag, library = WHEELS[platform]
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    files = (
        client.get("https://pypi.org/simple/onnxruntime/", headers=accept).raise_for_status().json()["files"]
    )
    wanted = f"onnxruntime-{RUNTIME_VERSION}-cp{WHEEL_PYTHON}-cp{WHEEL_PYTHON}-{tag}.whl"
    (found,) = (file for file in files if file["filename"] == wanted)
    content = _get(client, found["url"], found["hashes"]["sha256"])
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        path = f"onnxruntime/capi/{library}"
        member = Member(path, library, hashlib.sha256(wheel.read(path)).hexdigest())
    asked = PipRequest(f"onnxruntime=={RUNTIME_VERSION}", tag, WHEEL_PYTHON)
    archive = Archive(wanted, _sha256(content), len(content), (found["url"],), (member,), asked)
    return LibraryPin(platform, RUNTIME_VERSION, archive)


def _glibc(client: httpx2.Client, architecture: str) -> GlibcPin:
    debian_name, loader = ARCHITECTURES[architecture]
    index = f"{DEBIAN}/dists/{RELEASE}/main/binary-{debian_name}/Packages.xz"
    known = _packages(lzma.decompress(client.get(index).raise_for_status().content).decode())
    taken = taken_from(architecture, loader)
    packages = tuple(_package(client, known[name], files) for name, files in taken.items())
    sources = {
        f"https://snapshot.debian.org/package/{known[name].get('Source', name)}/{known[name]['Version']}/"
        for name in taken
    }
    return GlibcPin(architecture, known["libc6"]["Version"], loader, packages, tuple(sorted(sources)))


def _packages(index: str) -> dict[str, dict[str, str]]:
    stanzas = (dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE)) for stanza in index.split("\n\n"))
    return {fields["Package"]: fields for fields in stanzas if "Package" in fields}


def _package(client: httpx2.Client, fields: Mapping[str, str], files: Mapping[str, str]) -> Archive:
    path = fields["Filename"]
    content = _get(client, f"{DEBIAN}/{path}", fields["SHA256"])
    with tarfile.open(fileobj=data_of_deb(content), mode="r:xz") as data:
        members = tuple(_member(data, name, files[name]) for name in files)
    today = datetime.now(UTC).strftime("%Y%m%dT000000Z")
    places = (f"{DEBIAN}/{path}", f"{SNAPSHOT}/{today}/{path}")
    return Archive(path.rpartition("/")[2], _sha256(content), len(content), places, members)


def _member(data: tarfile.TarFile, name: str, path: str) -> Member:
    """Pin the file behind a link, as libstdc++.so.6 is one: only plain files are ever taken."""
    found = data.getmember(f"./{path}")
    if found.issym():
        found = data.getmember(f"{found.name.rpartition('/')[0]}/{found.linkname}")
    file = data.extractfile(found)
    assert file is not None
    return Member(found.name.removeprefix("./"), name, hashlib.sha256(file.read()).hexdigest())


def _get(client: httpx2.Client, url: str, sha256: str) -> bytes:
    content = client.get(url).raise_for_status().content
    if _sha256(content) != sha256:
        raise SystemExit(f"{url} is not what its index promises; try again later")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    PINS_PATH.write_text(json.dumps(write(repin()), indent=2) + "\n", encoding="utf-8")
