"""Find ONNX Runtime's shared library inside the installed Python package."""

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from devices.errors import RuntimeLibraryError


@dataclass(frozen=True)
class RuntimeLibrary:
    """A runtime as it lies on a device, and what proves which one it is."""

    name: str
    version: str
    path: str
    sha256: str


def installed_runtime() -> RuntimeLibrary:
    """Find this machine's ONNX Runtime without importing it; raise RuntimeLibraryError if there is none."""
    package = importlib.util.find_spec("onnxruntime")
    if package is None or not package.submodule_search_locations:
        raise RuntimeLibraryError("onnxruntime is not installed; type: pip install onnxruntime")
    folder = Path(package.submodule_search_locations[0]) / "capi"
    names = ("libonnxruntime.so.*", "libonnxruntime.*.dylib")
    libraries = sorted(path for name in names for path in folder.glob(name) if not path.is_symlink())
    if not libraries:
        raise RuntimeLibraryError(
            f"{folder} holds no libonnxruntime: this build of onnxruntime is not usable"
        )
    with libraries[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return RuntimeLibrary("onnxruntime", importlib.metadata.version("onnxruntime"), str(libraries[0]), digest)
