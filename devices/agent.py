"""The agent: one process that serves this machine and every device that it is told of."""

import argparse
import contextlib
import fcntl
import logging
import math
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from devices.adb import AdbServer, usual_server
from devices.agent_config import (
    HostEntry,
    OwnEntry,
    PhoneEntry,
    read_agent_config,
    read_own_entry,
    read_phone_entries,
)
from devices.agent_token import AgentToken, token_from_environment
from devices.delivery import Delivery
from devices.device_name import WORDS, is_name, plain_name
from devices.errors import DeviceError, ServiceAway, ServiceRefused
from devices.identity import agent_identity
from devices.membership import Membership
from devices.owner_rules import OwnerRules
from devices.phones import Phone, Phones, PhoneTrouble
from devices.quiet import open_quiet_lock
from devices.readiness import Thresholds
from devices.service_link import ServiceLink, Stand, StationReport
from devices.station import Station, adb_station, local_station, ssh_station
from devices.station_board import StationBoard
from devices.turns import Turns
from devices.untrusted_text import visible_line, visible_log
from devices.worker import Shared, Worker

log = logging.getLogger("loopfront.agent")

_WELCOME_PAUSE_S, _LONGEST_WELCOME_PAUSE_S = 0.5, 8.0


@dataclass(frozen=True)
class AgentSettings:
    """Where the service is, and how this agent behaves.

    `folder` holds the spool, the runner and the weight pools; one agent at a time may use it. Without an adb server in
    `phones` none are served. With `from_dir`, what would be fetched for devices is taken from that folder.
    """

    server: str
    folder: Path
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)
    quiet_lock: Path | None = None
    exit_with_parent: bool = False
    hosts: tuple[HostEntry, ...] = ()
    phones: AdbServer | None = None
    phone_entries: tuple[PhoneEntry, ...] = ()
    from_dir: Path | None = None
    rules: OwnerRules = field(default_factory=OwnerRules)
    token: AgentToken | None = None

    @property
    def own_name(self) -> str:
        """What this machine is called: as given, or after its host name."""
        return self.name or plain_name(platform.node(), "this-machine")


def run_agent(settings: AgentSettings, stop: threading.Event | None = None) -> None:
    """Work until `stop` is set, with a thread for each device; a service or a device that is away is waited for.

    Raises DeviceError, before anything else, if the runner cannot be built, the runtime is missing, the quiet lock
    can't be opened, another agent uses the folder, or the service does not talk with this agent. Once it did, it is
    waited for whatever it says.
    """
    stop = stop or threading.Event()
    folder = settings.folder
    if settings.name and not is_name(settings.name):
        raise DeviceError(f"--name {settings.name!r}: use {WORDS}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"--folder {folder} can't be made: {error.strerror}; name another") from None
    with (folder / "agent.lock").open("a") as lock:
        _claim(lock.fileno(), folder)
        open_quiet_lock(settings.quiet_lock).close()
        _refuse_same_names(settings)
        name = settings.own_name
        own = local_station(name, folder, settings.thresholds, settings.labels, settings.rules)
        opened = own.open()
        if settings.exit_with_parent:
            _stop_with_parent(stop)
        make_link = partial(ServiceLink, settings.server, settings.token)
        if settings.token is not None and settings.token.is_enrolment_code:
            _enrol(settings.server, settings.token, name, agent_identity(folder), stop)
        with make_link() as link:
            _wait_for_welcome(link, stop)
            remember_server(folder, settings.server)
            shared = Shared(
                make_link,
                Membership(link, settings.server, name, agent_identity(folder)),
                Delivery(folder / "spool", settings.server.rstrip("/")),
                Turns(opened.machine, settings.quiet_lock),
                StationBoard(),
                stop,
            )
            crew = _Crew()

            def serve(station: Station) -> None:
                crew.add(Worker(station, shared).work)

            crew.add(lambda: shared.board.pass_on(make_link, shared.membership, stop))
            for station in _ssh_stations(settings):
                serve(station)
            if settings.phones is not None:
                crew.add(_phone_watch(settings, settings.phones, serve, shared))
            Worker(own, shared, opened).work()
            crew.wait()


def _refuse_same_names(settings: AgentSettings) -> None:
    """Two devices of one name would be told to the service as one."""
    own = settings.own_name
    others = [each.name for each in settings.hosts] + [
        each.name for each in settings.phone_entries if each.name
    ]
    if own in others:
        raise DeviceError(
            f"{own!r} is the name of this machine and of another one in agent.toml: give one of them another, this "
            "machine by --name"
        )


def _enrol(server: str, token: AgentToken, name: str, identity: str, stop: threading.Event) -> None:
    """Change an enrolment code for a token; raises AgentUnwelcome if the service does not take it."""
    pause_s = _WELCOME_PAUSE_S
    with ServiceLink(server) as link:
        while not stop.is_set():
            try:
                token.replace(link.enrol(token.read(), name, identity))
                log.info("enrolled as %s at %s", name, server)
                return
            except ServiceAway as away:
                log.warning("the service does not answer yet: %s; next try in %.1f s", away, pause_s)
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_WELCOME_PAUSE_S)


def _wait_for_welcome(link: ServiceLink, stop: threading.Event) -> None:
    """Wait for the service's first answer; raises AgentUnwelcome if it does not talk with this agent."""
    pause_s = _WELCOME_PAUSE_S
    while not stop.is_set():
        try:
            link.hello()
            return
        except (ServiceAway, ServiceRefused) as away:
            log.warning("the service does not answer yet: %s; next try in %.1f s", away, pause_s)
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_WELCOME_PAUSE_S)


def remember_server(folder: Path, server: str) -> None:
    """Keep the service's address beside the agent's files, for `doctor` to tell it what was found."""
    with contextlib.suppress(OSError):
        (folder / "server").write_text(server, encoding="utf-8")


def remembered_server(folder: Path) -> str:
    """Return the service that the agent of a folder last talked to; "" where there was none."""
    try:
        return (folder / "server").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _ssh_stations(settings: AgentSettings) -> Iterator[Station]:
    for each in settings.hosts:
        yield ssh_station(each, settings.folder, settings.thresholds, settings.from_dir)


def _phone_watch(
    settings: AgentSettings, server: AdbServer, serve: Callable[[Station], None], shared: Shared
) -> Callable[[], None]:
    """Return the work of serving every phone that appears, and of telling which can't be used."""
    board = shared.board

    def serve_phone(phone: Phone) -> None:
        serve(adb_station(phone, server, settings.folder, settings.thresholds, settings.from_dir))

    def tell(now: Sequence[PhoneTrouble], before: Sequence[PhoneTrouble]) -> None:
        for each in now:
            board.tell(StationReport(each.name, each.kind, Stand.UNOPENED, each.trouble))
        for name in {each.name for each in before} - {each.name for each in now}:
            board.forget(name)

    taken = {settings.own_name, *(each.name for each in settings.hosts)}
    phones = Phones(server, settings.phone_entries, tell, frozenset(taken))
    return lambda: phones.watch(serve_phone, shared.stop)


class _Crew:
    """The threads beside the first; any of them may add another."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()

    def wait(self) -> None:
        for thread in self._threads:  # those that join meanwhile too
            thread.join()


def _claim(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DeviceError(
            f"another agent is using {folder}; stop it, or give this one another --folder"
        ) from None


def _stop_with_parent(stop: threading.Event) -> None:
    """Stop as soon as the process that started us is gone."""
    parent = os.getppid()

    def watch() -> None:
        while not stop.wait(0.5):
            if os.getppid() != parent:
                stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _setting(name: str, default: float) -> float:
    """Return a setting from the environment, such as LOOPFRONT_AGENT_IDLE_CORES."""
    variable = f"LOOPFRONT_AGENT_{name}"
    given = os.environ.get(variable, str(default))
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DeviceError(f"{variable}: {given!r} is no number; unset it, or give one such as {default:g}")
    return value


def phone_server() -> AdbServer | None:
    """Return the adb server whose phones are served; None if LOOPFRONT_AGENT_PHONES is 0."""
    return usual_server() if _setting("PHONES", 1) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent from the command line."""
    try:
        _run_as_told(arguments)
    except DeviceError as error:
        print(f"agent: {visible_line(str(error))}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


class _VisibleFormatter(logging.Formatter):
    """Shows what devices said without what would move the cursor of the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible_log(super().format(record))


def _run_as_told(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="python -m devices.agent", description="Measure on this machine.")
    parser.add_argument(
        "--server", required=True, help="address of the service, such as http://127.0.0.1:8321"
    )
    parser.add_argument(
        "--folder", required=True, type=Path, help="folder for runner, weight pools and spool"
    )
    parser.add_argument("--name", default="", help="name of this machine; its host name by default")
    parser.add_argument(
        "--idle-cores",
        type=float,
        default=_setting("IDLE_CORES", Thresholds.idle_cores),
        help="measure only while other programs leave so many cores per thread; 0 ignores load",
    )
    parser.add_argument(
        "--patience-s",
        type=float,
        default=_setting("PATIENCE_S", Thresholds.patience_s),
        help="how long to wait for a device that is hot or busy",
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="agent.toml: the SSH hosts that this agent measures on as well, and what phones are called",
    )
    parser.add_argument(
        "--no-phones",
        action="store_true",
        help="do not look for phones; else those that adb shows are measured on",
    )
    parser.add_argument(
        "--from-dir",
        type=Path,
        help="take what is laid onto devices from this folder, nothing from a network",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        help="file that holds the agent token; else it is taken from LOOPFRONT_AGENT_TOKEN",
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when the starting process ends")
    given = parser.parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(_VisibleFormatter("%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("httpx2", "paramiko"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    own = read_own_entry(given.config) if given.config else OwnEntry()
    from_environment = token_from_environment()
    thresholds = Thresholds(idle_cores=given.idle_cores, patience_s=given.patience_s)
    settings = AgentSettings(
        given.server,
        given.folder,
        given.name,
        own.labels,
        thresholds,
        exit_with_parent=given.exit_with_parent,
        hosts=read_agent_config(given.config) if given.config else (),
        phones=None if given.no_phones else phone_server(),
        phone_entries=read_phone_entries(given.config) if given.config else (),
        from_dir=given.from_dir,
        rules=own.rules,
        token=AgentToken(given.token_file) if given.token_file else from_environment,
    )
    run_agent(settings, stop)


if __name__ == "__main__":
    raise SystemExit(main())
