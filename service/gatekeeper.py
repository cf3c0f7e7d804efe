"""Knows who asks by the token that is shown, and slows down those who show wrong ones."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from service.errors import NotAuthorised, StartRefused, TooManyFailures
from service.rights import Principal, Scope
from service.secret_files import KEY_NAME, OwnSecrets
from service.store.database import Database, database_now
from service.store.inserting import insert_unless_there
from service.store.rows import NoteRow
from service.store.tokens import TokenDraft, Tokens, was_used_lately
from service.token_text import TokenKind, keyed_digest, kind_of, new_token

REMEMBERED_S = 5.0
"""A token that was revoked may be used for so long by those who used it just before."""
MOST_REMEMBERED = 4096
FAILURES, FAILURES_WITHIN_S = 10, 60.0
SESSION_LIVES = timedelta(days=7)
LINK_LIVES = timedelta(minutes=15)
ENROLMENT_LIVES = timedelta(hours=1)
_KEY_NOTE = "key"
BEARERS = (TokenKind.USER, TokenKind.AGENT, TokenKind.SESSION)


@dataclass(frozen=True)
class _Remembered:
    principal: Principal
    until_s: float


class Gatekeeper:
    """Tokens of one service: made, recognised, used up."""

    def __init__(self, database: Database, own: OwnSecrets) -> None:
        self._database, self._key = database, own.key
        self._known: OrderedDict[str, _Remembered] = OrderedDict()
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def principal(self, token: str, address: str) -> Principal:
        """Say whose token this is; NotAuthorised where nobody's, TooManyFailures where that happened too often."""
        known = self.remembered(token)
        if known is not None:
            return known
        digest = keyed_digest(self._key, token)
        found, lives_s = self._look_up(digest)
        if found is None:
            self._count_failure(address)
            raise NotAuthorised(
                "the token is wrong, has ended or was revoked" if token else "no token is shown",
                field="Authorization",
                hint="`loopfront login` keeps one for this service; an admin makes one with `loopfront token create`",
            )
        self._remember(digest, found, min(REMEMBERED_S, lives_s))
        return found

    def remembered(self, token: str) -> Principal | None:
        """Say whose token this is if it was recognised a moment ago."""
        digest = keyed_digest(self._key, token)
        with self._lock:
            known = self._known.get(digest)
        return known.principal if known is not None and known.until_s > time.monotonic() else None

    def make(self, draft: TokenDraft) -> tuple[str, str]:
        """Make a token; return its id, and the token itself, which is kept nowhere."""
        token = new_token(TokenKind(draft.kind))
        with self._database.write() as session:
            row = Tokens(session).add(draft, keyed_digest(self._key, token))
        return row.id, token

    def link(self, principal: Principal) -> str:
        """Make the token of a link that logs a browser in, once, with the rights of the one who asks for it."""
        draft = TokenDraft(principal.name, TokenKind.LINK, principal.scopes, LINK_LIVES, principal.token_id)
        return self.make(draft)[1]

    def session(self, token: str, address: str) -> str:
        """Begin a browser session for a user's token or a link's; return the cookie's token."""
        if kind_of(token) is TokenKind.LINK:
            with self._database.write() as session:
                row = Tokens(session).redeem(keyed_digest(self._key, token), TokenKind.LINK)
            found = None if row is None else Principal(row.parent_id or row.id, row.name, tuple(row.scopes))
            if found is None:
                self._count_failure(address)
                raise NotAuthorised(
                    "this link has ended or was used", field="link", hint="make a new one: loopfront link"
                )
        else:
            found = self.principal(token, address)
        if Scope.AGENT in found.scopes:
            raise NotAuthorised("an agent's token opens no pages", field="token", hint="use a user's token")
        draft = TokenDraft(found.name, TokenKind.SESSION, found.scopes, SESSION_LIVES, found.token_id)
        return self.make(draft)[1]

    def enrol(
        self, code: str, name: str, register: Callable[[Session], str], address: str
    ) -> tuple[str, str]:
        """Use up an enrolment code for the agent that `register` gives the id of; return that and its own token.

        All of it or nothing is done.
        """
        token = new_token(TokenKind.AGENT)
        with self._database.write() as session:
            row = Tokens(session).redeem(keyed_digest(self._key, code), TokenKind.ENROLMENT)
            if row is not None:
                agent_id = register(session)
                draft = TokenDraft(name, TokenKind.AGENT, (Scope.AGENT,), None, row.id, agent_id)
                Tokens(session).add(draft, keyed_digest(self._key, token))
        if row is None:
            self._count_failure(address)
            raise NotAuthorised(
                "this enrolment code is wrong, has ended or was used",
                field="code",
                hint="`loopfront token agent` on the service's machine makes a new one",
            )
        return agent_id, token

    def end_session(self, token: str) -> None:
        """End a browser's session, if this is the token of one."""
        with self._database.write() as session:
            row = Tokens(session).with_digest(keyed_digest(self._key, token))
            if row is None or row.kind != TokenKind.SESSION:
                return
            Tokens(session).revoke(row.id)
        self.forget(row.id)

    def webhook_key(self, webhook_id: str) -> bytes:
        """Give the key of a webhook's signatures: derived from the server's key, so that it is kept nowhere."""
        return bytes.fromhex(keyed_digest(self._key, f"webhook {webhook_id}"))

    def forget(self, token_id: str) -> None:
        """Recognise a token no longer that was revoked just now."""
        with self._lock:
            self._known = OrderedDict(
                (digest, each) for digest, each in self._known.items() if each.principal.token_id != token_id
            )

    def _look_up(self, digest: str) -> tuple[Principal | None, float]:
        """Find whose token it is, and for how many seconds more."""
        with self._database.read() as session:
            row, now = Tokens(session).live(digest), database_now(session)
            if row is None or row.kind not in BEARERS:
                return None, 0.0
            found = Principal(row.id, row.name, tuple(row.scopes), row.agent_id)
            is_noted = was_used_lately(row, now)
            lives_s = (row.expires_at - now).total_seconds() if row.expires_at is not None else math.inf
        if not is_noted:
            with self._database.write() as session:
                Tokens(session).note_use(found.token_id)
        return found, lives_s

    def _remember(self, digest: str, principal: Principal, seconds: float) -> None:
        with self._lock:
            self._known[digest] = _Remembered(principal, time.monotonic() + seconds)
            self._known.move_to_end(digest)
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)

    def _count_failure(self, address: str) -> None:
        """Note a wrong token; raises TooManyFailures where there were too many from one address."""
        now_s = time.monotonic()
        with self._lock:
            if len(self._failures) > MOST_REMEMBERED:
                self._failures.clear()
            times = self._failures.setdefault(address, deque(maxlen=FAILURES))
            is_too_many = len(times) == FAILURES and now_s - times[0] < FAILURES_WITHIN_S
            if not is_too_many:
                times.append(now_s)
        if is_too_many:
            raise TooManyFailures(
                f"{FAILURES} wrong tokens came from {address} within a minute",
                field="Authorization",
                hint="wait a minute; `loopfront login` keeps the right one",
            )


def _require_same_key(session: Session, key: bytes) -> None:
    """Refuse to serve a database whose tokens were made with another key: none of them would count."""
    mark = keyed_digest(key, "this service's key")
    insert_unless_there(session, NoteRow, name=_KEY_NOTE, value=mark)
    if session.get_one(NoteRow, _KEY_NOTE).value != mark:
        raise StartRefused(
            "the tokens in this database were made with another key than this data folder's",
            field="LOOPFRONT_SECRET_KEY",
            hint=f"copy {KEY_NAME} from the data folder of the service that made the database, or set this variable",
            code="another-key",
        )


def keep_own_tokens(database: Database, own: OwnSecrets, host: str) -> None:
    """Let the tokens of this data folder's files count: its owner may do everything, its agents an agent's work."""
    kept = (
        (own.owner_token, TokenDraft(f"owner of {host}", TokenKind.USER, (Scope.ADMIN,), None)),
        (own.agent_token, TokenDraft(f"agents of {host}", TokenKind.AGENT, (Scope.AGENT,), None)),
    )
    with database.write() as session:
        _require_same_key(session, own.key)
        for token, draft in kept:
            digest = keyed_digest(own.key, token)
            if Tokens(session).with_digest(digest) is None:
                Tokens(session).add(draft, digest)
