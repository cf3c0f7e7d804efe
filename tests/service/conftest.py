"""Make the builders beside the tests importable, and keep the tests off the host's own quiet lock."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ["LOOPFRONT_QUIET_LOCK"] = str(Path(tempfile.mkdtemp(prefix="loopfront-tests-")) / "quiet.lock")
