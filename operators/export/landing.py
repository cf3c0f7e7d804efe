"""Where an export lands: written in full beside its place, checked, and only then given its name."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.errors import ExportError


@contextmanager
def landing(target: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `target` when the block ends well; nothing is left of it otherwise.

    Raises ExportError where something is at `target` already, or its parent can't be written.
    """
    if target.exists() or target.is_symlink():
        raise ExportError(f"{target}: exists already; choose another place or remove it first")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise ExportError(f"{target}: can't be written here: {error.strerror}") from error
    try:
        yield draft
        draft.chmod(0o755)
        draft.replace(target)
    except OSError as error:
        raise ExportError(f"{target}: can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
