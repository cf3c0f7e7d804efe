"""Makes sure that all processes of a database use the same blobs: a blob that only those have names the database."""

import secrets

from sqlalchemy.orm import Session

from service.errors import NotFound, StartRefused
from service.store.blobs import Blobs, digest_of
from service.store.database import Database
from service.store.inserting import insert_unless_there
from service.store.rows import NoteRow

_NOTE = "blobs"


def require_same_blobs(database: Database, blobs: Blobs) -> None:
    """Mark the blobs of a new database; StartRefused where those of an old one lie elsewhere."""
    with database.write() as session:
        is_new = insert_unless_there(session, NoteRow, name=_NOTE, value=secrets.token_hex(16))
        mark = _mark(session)
        if is_new:
            blobs.put(mark)
    try:
        blobs.read(digest_of(mark))
    except NotFound:
        raise StartRefused(
            "the graphs and samples of this database lie elsewhere",
            field="LOOPFRONT_BLOB_STORE",
            hint="use the data folder of the service that made the database, or for several machines a store that all "
            f"share; where they are lost for good: DELETE FROM notes WHERE name = '{_NOTE}'",
            code="other-blobs",
        ) from None


def mark_digest(session: Session) -> str:
    """Name the blob that marks them; "" where they aren't marked yet."""
    return digest_of(_mark(session)) if session.get(NoteRow, _NOTE) is not None else ""


def _mark(session: Session) -> bytes:
    return f"the blobs of loopfront's database {session.get_one(NoteRow, _NOTE).value}\n".encode()
