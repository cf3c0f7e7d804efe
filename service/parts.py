"""The parts that requests and the search loop share: settings, database, blobs, bell, cache, gatekeeper and news."""

import socket
from dataclasses import dataclass, field

from service.agent_news import AgentNews
from service.bell import Bell
from service.data_folder import full_disk
from service.gatekeeper import Gatekeeper, keep_own_tokens
from service.measured_cache import MeasuredCache
from service.migrations.upgrade import upgrade
from service.secret_files import keep_secrets
from service.settings import Settings
from service.store.blob_home import require_same_blobs
from service.store.blobs import Blobs, FolderBlobs
from service.store.database import Database, sqlite_url
from service.store.events import Events
from service.store.object_blobs import ObjectBlobs


@dataclass(frozen=True)
class Parts:
    """One per process."""

    settings: Settings
    database: Database
    blobs: Blobs
    bell: Bell
    measured: MeasuredCache
    gatekeeper: Gatekeeper
    agent_news: AgentNews = field(default_factory=AgentNews)

    @property
    def trouble(self) -> str:
        """What keeps all work from going on, in a line; "" while all is well."""
        return full_disk(self.settings.data_folder) or self.agent_news.trouble


def open_parts(settings: Settings) -> Parts:
    """Open the data folder's database at the newest schema, and its blobs."""
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    blobs = open_blobs(settings)
    database = Database(settings.database_url or sqlite_url(settings.database_file), blobs)
    upgrade(database)
    require_same_blobs(database, blobs)
    with database.write() as session:
        Events(session).mend_order()
    own = keep_secrets(settings.data_folder, settings.secret_key)
    keep_own_tokens(database, own, socket.gethostname()[:100])
    gatekeeper = Gatekeeper(database, own)
    return Parts(settings, database, blobs, Bell(), MeasuredCache(), gatekeeper)


def open_blobs(settings: Settings) -> Blobs:
    """Open the place of graphs and samples: the data folder's, or an object store that several machines share."""
    return ObjectBlobs(settings.blob_store) if settings.blob_store else FolderBlobs(settings.blob_folder)
