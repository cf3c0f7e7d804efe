"""The installed runtime is found without importing it."""

import subprocess
import sys
from pathlib import Path

from devices.runtime_library import installed_runtime


def test_the_installed_runtime_is_found_with_version_and_digest() -> None:
    library = installed_runtime()
    assert Path(library.path).name == f"libonnxruntime.so.{library.version}"
    assert len(library.sha256) == 64


def test_the_agent_imports_neither_onnxruntime_nor_numpy() -> None:
    code = (
        "import sys, devices.agent; from devices.runtime_library import installed_runtime; installed_runtime();"
        "print([name for name in ('onnxruntime', 'numpy', 'torch', 'onnx', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
