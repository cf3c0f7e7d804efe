"""Tokens: kept as keyed hashes, with scopes, an end, and when they were last used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from service.errors import NotFound
from service.store.database import database_now
from service.store.identifiers import new_id
from service.store.rows import TokenRow
from service.token_text import TokenKind

STANDS_FOR_ITS_MAKER = frozenset({TokenKind.SESSION, TokenKind.LINK, TokenKind.ENROLMENT})
USED_ANEW_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class TokenDraft:
    """A token to be: its name, kind and scopes, how long it lives (None: for ever), and from which it was made."""

    name: str
    kind: str
    scopes: tuple[str, ...]
    lives: timedelta | None
    parent_id: str | None = None
    agent_id: str | None = None


class Tokens:
    """Queries about tokens."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, draft: TokenDraft, digest: str) -> TokenRow:
        """Store a token by its hash."""
        now = database_now(self.session)
        row = TokenRow(
            id=new_id("token"),
            name=draft.name,
            kind=draft.kind,
            scopes=list(draft.scopes),
            digest=digest,
            parent_id=draft.parent_id,
            agent_id=draft.agent_id,
            created_at=now,
            expires_at=now + draft.lives if draft.lives is not None else None,
        )
        self.session.add(row)
        self.session.flush()
        return row

    def with_digest(self, digest: str) -> TokenRow | None:
        """Find the token of a hash, ended or not."""
        return self.session.scalar(select(TokenRow).where(TokenRow.digest == digest))

    def get(self, token_id: str) -> TokenRow:
        """Read a token by its id."""
        row = self.session.get(TokenRow, token_id)
        if row is None:
            raise NotFound(f"there is no token {token_id!r}", field="id", hint="see `loopfront token list`")
        return row

    def live(self, digest: str) -> TokenRow | None:
        """Find the token of a hash; None where it has ended."""
        row = self.with_digest(digest)
        return row if row is not None and self._is_live(row) else None

    def redeem(self, digest: str, kind: str) -> TokenRow | None:
        """Use up a token of a kind that counts once; None where it has ended, was used or is of another kind."""
        query = select(TokenRow).where(TokenRow.digest == digest).with_for_update()
        row = self.session.scalar(query.execution_options(populate_existing=True))
        if row is None or row.kind != kind or row.used_up_at is not None or self.live(digest) is None:
            return None
        row.used_up_at = row.last_used_at = database_now(self.session)
        return row

    def note_use(self, token_id: str) -> None:
        """Remember roughly when a token was used last."""
        now = database_now(self.session)
        is_old = or_(TokenRow.last_used_at.is_(None), TokenRow.last_used_at < now - USED_ANEW_AFTER)
        self.session.execute(update(TokenRow).where(TokenRow.id == token_id, is_old).values(last_used_at=now))

    def revoke(self, token_id: str) -> TokenRow:
        """End a token, and with it the sessions, links and codes that were made from it."""
        row = self.get(token_id)
        row.revoked_at = row.revoked_at or database_now(self.session)
        return row

    def all(self, kinds: Sequence[str]) -> Sequence[TokenRow]:
        """List tokens of these kinds, oldest first."""
        query = select(TokenRow).where(TokenRow.kind.in_(kinds)).order_by(TokenRow.created_at)
        return self.session.scalars(query).all()

    def _is_live(self, row: TokenRow) -> bool:
        has_ended = row.expires_at is not None and row.expires_at <= database_now(self.session)
        if row.revoked_at is not None or has_ended:
            return False
        # What stands for whoever made it ends with the token that made it; a token for somebody else lives by itself.
        parent = self.session.get(TokenRow, row.parent_id) if row.parent_id else None
        return row.kind not in STANDS_FOR_ITS_MAKER or parent is None or self._is_live(parent)


def was_used_lately(row: TokenRow, now: datetime) -> bool:
    """Say whether noting another use would say nothing new."""
    return row.last_used_at is not None and now - row.last_used_at < USED_ANEW_AFTER
