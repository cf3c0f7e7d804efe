"""The secret that agents show: made once, kept in the data folder for its owner alone, compared by digest."""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import StartRefused

PREFIX = "lfa_"
FILE_NAME = "agent.token"
_FORM = re.compile(r"lfa_[A-Za-z0-9_-]{20,200}")


@dataclass(frozen=True)
class AgentToken:
    """What the service keeps of the token in memory: enough to know it again, not enough to use it."""

    digest: bytes = field(repr=False)

    def is_shown_by(self, authorization: str) -> bool:
        """Say whether an Authorization header bears the token; the time it takes tells nothing of it."""
        scheme, _, shown = authorization.partition(" ")
        return hmac.compare_digest(_digest(shown.strip()), self.digest) and scheme.lower() == "bearer"


def agent_token_path(data_folder: Path) -> Path:
    """Where a service keeps its agent token."""
    return data_folder / FILE_NAME


def keep_agent_token(data_folder: Path) -> AgentToken:
    """Know the data folder's token, made on its first start; raises StartRefused where the file can't be used."""
    path = agent_token_path(data_folder)
    if not path.exists():
        _write(path, PREFIX + secrets.token_urlsafe(32))
    path.chmod(0o600)
    return AgentToken(_digest(read_agent_token(data_folder)))


def read_agent_token(data_folder: Path) -> str:
    """Read the token itself, for whoever owns the data folder."""
    path = agent_token_path(data_folder)
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        reason = error.strerror or "it can't be read"
        raise _unusable(path, reason, "start the service once: it makes one") from None
    if not _FORM.fullmatch(token):
        raise _unusable(
            path, "it holds no agent token", "delete it and start the service: it makes a new one"
        )
    return token


def _write(path: Path, token: str) -> None:
    """Write the file whole or not at all; nobody else may read it at any moment."""
    temporary = path.with_suffix(".writing")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _unusable(path: Path, detail: str, way_out: str) -> StartRefused:
    return StartRefused(f"the agent token can't be used: {detail}", field=str(path), hint=way_out)
