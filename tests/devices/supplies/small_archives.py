"""Small archives of the real formats, the table that pins them, and a web server that has them."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from devices.supplies.pins import Archive, GlibcPin, LibraryPin, Member, Pins

LIBRARY, LOADER, LICENCE = b"\x7fELF library" * 1000, b"\x7fELF loader", b"LGPL"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def a_wheel(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return written.getvalue()


def a_deb(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:xz") as data:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            data.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"./{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            data.addfile(member)
    return an_ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": written.getvalue()})


def an_ar(files: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in files.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        parts += [header.encode(), content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


def an_archive(file: str, content: bytes, members: Mapping[str, bytes], *places: str) -> Archive:
    """Pin an archive; `members` are the contents expected by path."""
    pinned = tuple(Member(path, Path(path).name, sha256(wanted)) for path, wanted in members.items())
    return Archive(file, sha256(content), len(content), places, pinned)


class SmallSupplies:
    """A wheel and a Debian package on a web server, and the table that names both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.wheel = a_wheel({"onnxruntime/capi/libonnxruntime.so": LIBRARY, "../outside": b"?"})
        self.deb = a_deb({"lib/ld.so": LOADER, "usr/share/doc/libc6/copyright": LICENCE, "lib/other": b"?"})
        (folder / "small.whl").write_bytes(self.wheel)
        (folder / "libc6.deb").write_bytes(self.deb)

    def pins(self, *servers: str) -> Pins:
        wheel = an_archive(
            "small.whl",
            self.wheel,
            {"onnxruntime/capi/libonnxruntime.so": LIBRARY},
            *(f"{server}/small.whl" for server in servers),
        )
        deb = an_archive(
            "libc6.deb",
            self.deb,
            {"lib/ld.so": LOADER, "usr/share/doc/libc6/copyright": LICENCE},
            *(f"{server}/libc6.deb" for server in servers),
        )
        glibc = GlibcPin("aarch64", "2.36-9", "ld.so", (deb,), ("https://example.org/glibc",))
        return Pins((LibraryPin("linux-aarch64", "1.0", wheel),), (glibc,))


class CountingServer(ThreadingHTTPServer):
    """Serves a folder and notes what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, CountingServer)
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_arguments: object) -> None:
        return


@contextmanager
def a_server(folder: Path) -> Iterator[CountingServer]:
    server = CountingServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
