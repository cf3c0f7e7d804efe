"""The token that an agent shows to its service: kept in a file of its owner's, never in arguments or messages."""

import os
import re
from collections.abc import Generator
from pathlib import Path

import httpx2

from devices.errors import TokenUnusable

ENVIRONMENT = "LOOPFRONT_AGENT_TOKEN"
FORM = re.compile(r"lf[ae]_[A-Za-z0-9_-]{20,200}")
ENROLMENT = "lfe_"
"""How an enrolment code begins, which counts once and is changed for a token."""
_WAY_OUT = "`loopfront token agent` on the service's machine prints the right one"


class AgentToken(httpx2.Auth):
    """Shows a token with every request; one in a file is read each time, so that mending the file is enough."""

    def __init__(self, path: Path | None = None, token: str = "") -> None:
        self._path, self._token = path, token

    def __repr__(self) -> str:
        return f"AgentToken({self._path or 'given'})"

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Add the token to a request; httpx calls it."""
        request.headers["Authorization"] = f"Bearer {self.read()}"
        yield request

    @property
    def is_enrolment_code(self) -> bool:
        """Tell whether what is held is still to be changed for a token."""
        return self.read().startswith(ENROLMENT)

    def replace(self, token: str) -> None:
        """Hold another token from now on; in the file, if it came from one."""
        if self._path is None:
            self._token = _checked(token, ENVIRONMENT)
        else:
            store_token(token, self._path)

    def read(self) -> str:
        """Return the token; raises TokenUnusable naming the place, never what stands there."""
        if self._path is None:
            return _checked(self._token, ENVIRONMENT)
        try:
            return _checked(self._path.read_text(encoding="utf-8", errors="replace").strip(), str(self._path))
        except OSError as error:
            raise TokenUnusable(f"{self._path} can't be read: {error.strerror}; {_WAY_OUT}") from None


def token_from_environment() -> AgentToken | None:
    """Take the token out of the environment, so that no program that the agent starts inherits it."""
    given = os.environ.pop(ENVIRONMENT, None)
    return None if given is None else AgentToken(token=given)


def store_token(token: str, path: Path) -> None:
    """Write a token to a file for its owner alone; raises TokenUnusable if it is none or can't be written."""
    _checked(token, "the token given")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".writing")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{token}\n")
        temporary.replace(path)
    except OSError as error:
        raise TokenUnusable(f"{path} can't be written: {error.strerror}") from None


def _checked(token: str, place: str) -> str:
    if not FORM.fullmatch(token):
        raise TokenUnusable(
            f"{place} holds no agent token (lfa_...) and no enrolment code (lfe_...); {_WAY_OUT}"
        )
    return token
