"""What tokens look like, and how they are kept: a prefix, a random part and a checksum; stored is only a keyed hash."""

import hashlib
import hmac
import re
import secrets
import zlib
from enum import StrEnum

_RANDOM_LETTERS = 32
_FORM = re.compile(r"(lf[aelsu]_)([A-Za-z0-9_-]{32})([0-9a-f]{8})")


class TokenKind(StrEnum):
    """What a token is for, as its prefix says; the prefixes are there for scanners of leaked secrets."""

    USER = "lfu_"
    AGENT = "lfa_"
    ENROLMENT = "lfe_"
    SESSION = "lfs_"
    LINK = "lfl_"


def new_token(kind: TokenKind) -> str:
    """Make a token with 192 random bits."""
    random = secrets.token_urlsafe(24)
    assert len(random) == _RANDOM_LETTERS
    return f"{kind}{random}{_checksum(kind + random)}"


def kind_of(token: str) -> TokenKind | None:
    """Say which kind a token is; None where it is none of ours, or was mistyped."""
    found = _FORM.fullmatch(token)
    if found is None or not hmac.compare_digest(_checksum(found[1] + found[2]), found[3]):
        return None
    return TokenKind(found[1])


def keyed_digest(key: bytes, token: str) -> str:
    """Hash a token with the server's key: who reads the database alone can neither use nor guess it."""
    return hmac.new(key, token.encode(errors="replace"), hashlib.sha256).hexdigest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
