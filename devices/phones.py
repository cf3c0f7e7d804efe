"""The phones that adb shows: which are there now, what they are called, and what keeps others from being used."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from devices.adb import AdbConnection, AdbServer
from devices.agent_config import PhoneEntry
from devices.android_facts import PROPERTIES, properties
from devices.device_files import ask
from devices.device_name import plain_name
from devices.errors import ConnectionFault, DeviceAway
from devices.identity import own_serial, phone_identity
from devices.owner_rules import OwnerRules
from devices.phone_states import SeenPhone, is_network_address, is_wireless

log = logging.getLogger("loopfront.agent")

KIND = "adb"
_LOOK_S = 3.0
"""A state must last for this long before it is complained of: a phone that is plugged in passes through several."""

_RETRY_S = 3.0
_ANDROID_ID = ("settings", "get", "secure", "android_id")


@dataclass(frozen=True)
class PhoneTrouble:
    """A phone that cannot be used, in words, with the way out; `name` is the serial that adb shows."""

    name: str
    kind: str
    trouble: str


@dataclass(frozen=True)
class Phone:
    """One phone, by whichever ways adb reaches it."""

    identity: str
    name: str
    ways: "_Ways" = field(repr=False, compare=False)
    folder: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: OwnerRules = field(default_factory=OwnerRules)

    def transports(self) -> tuple[str, ...]:
        """Return the serials under which adb shows it now, USB first."""
        return self.ways.of(self.identity)

    def transport(self) -> str:
        """Return the best way to it; raises DeviceAway if there is none."""
        transports = self.transports()
        if not transports:
            raise DeviceAway(f"{self.name} is not connected: plug it in, or type: adb connect HOST:PORT")
        return transports[0]


class _Ways:
    """By which serials each phone is there now; written by one thread, read by those that measure."""

    def __init__(self) -> None:
        self._serials: Mapping[str, tuple[str, ...]] = {}

    def of(self, identity: str) -> tuple[str, ...]:
        return self._serials.get(identity, ())

    def replace(self, there: Mapping[str, Phone]) -> tuple[set[str], set[str]]:
        """Take which phone is behind each serial; return the identities that went and those that came."""
        before, now = set(self._serials), {phone.identity for phone in there.values()}
        ordered = sorted(there, key=lambda serial: (is_wireless(serial), serial))
        self._serials = {
            identity: tuple(serial for serial in ordered if there[serial].identity == identity)
            for identity in now
        }
        return before - now, now - before


def _tell_nobody(now: Sequence[PhoneTrouble], before: Sequence[PhoneTrouble]) -> None:
    return


class Phones:
    """What adb shows, look by look; `tell` is given what keeps phones from being used whenever that has changed."""

    def __init__(
        self,
        server: AdbServer,
        entries: Sequence[PhoneEntry] = (),
        tell: Callable[[Sequence[PhoneTrouble], Sequence[PhoneTrouble]], None] = _tell_nobody,
        taken: frozenset[str] = frozenset(),
    ) -> None:
        """Take the names of the agent's other devices: no phone is called so."""
        self._server, self._entries, self._tell, self._taken = server, entries, tell, taken
        self._ways = _Ways()
        self._there: dict[str, Phone] = {}
        self._known: dict[str, Phone] = {}
        self._troubles: tuple[PhoneTrouble, ...] = ()
        self._entries_met: set[str] = set()
        self._complaints = _Complaints()
        self._server_was_lost = False

    def troubles(self) -> tuple[PhoneTrouble, ...]:
        """Return what kept phones from being used at the last look."""
        return self._troubles

    def entries_away(self) -> tuple[PhoneEntry, ...]:
        """Return the phones of agent.toml that adb does not show at all."""
        shown = {*self._entries_met, *(each.name for each in self._troubles)}
        return tuple(each for each in self._entries if each.serial not in shown)

    def look(self) -> tuple[Phone, ...]:
        """Look once; return the phones that can be used. Raises ConnectionFault if there is no adb."""
        self._take(self._server.phones())
        return tuple(self._known.values())

    def watch(self, appeared: Callable[[Phone], None], stop: threading.Event) -> None:
        """Watch until `stop` is set; call `appeared` once for every phone. Comings and goings are logged once each."""
        while not stop.is_set():
            has_server = False
            try:
                for seen in self._server.changes(stop, _LOOK_S):
                    has_server = True
                    for phone in self._take(self._again(seen)):
                        appeared(phone)
            except ConnectionFault as fault:
                self._server_was_lost = True
                if not has_server:
                    self._take((), {"adb": str(fault)})
                stop.wait(_RETRY_S)

    def _take(self, seen: Sequence[SeenPhone], troubles: Mapping[str, str] | None = None) -> list[Phone]:
        """Note who is there; return those that were never seen before."""
        known_before, there, told = set(self._known), {}, dict(troubles or {})
        for each in seen:
            try:
                if not each.is_usable:
                    raise ConnectionFault(each.trouble)
                there[each.serial] = self._there.get(each.serial) or self._recognised(each.serial)
            except ConnectionFault as fault:
                told[each.serial] = str(fault)
        new = {identity: phone for identity, phone in self._known.items() if identity not in known_before}
        self._there = there
        before = self._troubles
        self._troubles = tuple(PhoneTrouble(name, KIND, trouble) for name, trouble in told.items())
        if self._troubles != before:
            self._tell(self._troubles, before)
        self._log_moves(*self._ways.replace(there), new)
        self._complaints.tell(self._troubles, time.monotonic())
        return list(new.values())

    def _log_moves(self, gone: set[str], come: set[str], new: Mapping[str, Phone]) -> None:
        for identity in gone:
            log.info("%s: gone; waiting for it", self._known[identity].name)
        for identity in come:
            phone = self._known[identity]
            log.info("%s: %s as %s", phone.name, "found" if identity in new else "back", phone.transport())

    def _recognised(self, serial: str) -> Phone:
        """Ask a phone who it is; one that was seen before is the same again, whatever its serial now."""
        connection = AdbConnection(serial, self._server)
        told = properties(ask(connection, *PROPERTIES) or "")
        identity = phone_identity(told, serial, lambda: ask(connection, *_ANDROID_ID))
        if identity not in self._known:
            self._known[identity] = self._named(identity, serial, told)
        return self._known[identity]

    def _named(self, identity: str, serial: str, told: Mapping[str, str]) -> Phone:
        own = own_serial(told) or serial
        entry = next((each for each in self._entries if each.serial in (own, serial)), PhoneEntry(serial))
        self._entries_met.add(entry.serial)
        model = told.get("ro.product.model", "phone")
        name = entry.name or plain_name(f"{model[:80]}-{own[-4:]}", f"phone-{identity[:4]}")
        if name in self._taken or any(phone.name == name for phone in self._known.values()):
            name = f"{name}-{identity[:4]}"
        return Phone(identity, name, self._ways, entry.folder, entry.labels, entry.rules)

    def _again(self, seen: tuple[SeenPhone, ...]) -> tuple[SeenPhone, ...]:
        """After a server was lost, reach again what `adb connect` had reached: a new one does not know of it."""
        if not self._server_was_lost:
            return seen
        self._server_was_lost = False
        before, self._there = self._there, {}  # who is behind an address is asked again
        for serial in set(before) - {each.serial for each in seen}:
            if is_network_address(serial):
                self._server.connect(serial)
        return self._server.phones()


class _Complaints:
    """Says each trouble once in the log, as soon as it has lasted."""

    def __init__(self) -> None:
        self._since_s: dict[PhoneTrouble, float] = {}
        self._told: set[PhoneTrouble] = set()

    def tell(self, troubles: Sequence[PhoneTrouble], now_s: float) -> None:
        self._since_s = {trouble: self._since_s.get(trouble, now_s) for trouble in troubles}
        self._told &= self._since_s.keys()
        for trouble, since_s in self._since_s.items():
            if trouble not in self._told and now_s - since_s >= _LOOK_S:
                self._told.add(trouble)
                log.warning("phone %s: %s", trouble.name, trouble.trouble)
