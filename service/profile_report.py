"""Make the report of a device's profile from its entries and what they measured."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from devices.outcome import TeamReading
from operators.cost import decode_bytes, parameters
from reports.profile_rows import BandwidthRow, EntryRow, ProfileReport, ShapeRow
from reports.rows import Cell
from service.device_state import waiting_words
from service.profile_mixers import mixer_rows
from service.profile_numbers import (
    bandwidth_share,
    best_bandwidth,
    per_second,
    seconds_left,
    usual_bandwidth,
)
from service.profile_reader import ProfileReader, cell_of
from service.profile_scope import GENERATE_TOKENS, HERE, PRECISION
from service.report_devices import device_facts
from service.report_words import precision_text
from service.request_step import request_step
from service.sentinel import SENTINEL_VERSION
from service.store import profiles
from service.store.agents import Devices
from service.store.database import database_now
from service.store.measurements import Calibrations
from service.store.requests import MeasurementRequests
from service.store.rows import DeviceProfileRow, DeviceRow, ProfileEntryRow
from service.version import VERSION


def profile_report(session: Session, profile: DeviceProfileRow) -> ProfileReport:
    """Make the report of a profile as it is now."""
    reader = ProfileReader(session, profile)
    device = Devices(session).get(profile.device_id)
    teams = reader.teams()
    ceiling = next((best_bandwidth(team) for team in teams if team.threads == reader.scope.threads), None)
    now = database_now(session)
    return ProfileReport(
        device=device.name,
        state=profile.state,
        detail=profile.detail,
        created_at=_moment(profile.created_at),
        finished_at=_moment(profile.finished_at) if profile.finished_at else None,
        width=reader.scope.width,
        prompt_tokens=reader.scope.prompt_tokens,
        contexts=reader.scope.contexts,
        threads=reader.scope.threads,
        precision=precision_text(PRECISION),
        bandwidth=tuple(_bandwidth_row(team) for team in teams),
        mixers=mixer_rows(reader, ceiling),
        shapes=tuple(_shape_rows(reader, ceiling)),
        entries=tuple(_entry_row(entry) for entry in reader.entries),
        facts=device_facts(device.facts),
        provenance=_provenance(session, profile, reader.entries),
        step=_step(session, device, reader.entries) if profile.state in profiles.OPEN else "",
        seconds_left=_seconds_left(reader.entries, now) if profile.state in profiles.OPEN else None,
    )


def _shape_rows(reader: ProfileReader, ceiling: float | None) -> Iterable[ShapeRow]:
    for entry in reader.entries:
        if entry.kind == profiles.SHAPE:
            yield _shape_row(reader, entry, ceiling)


def _shape_row(reader: ProfileReader, entry: ProfileEntryRow, ceiling: float | None) -> ShapeRow:
    shape, scope = reader.architecture(entry), reader.scope
    moved = decode_bytes(shape, PRECISION, scope.contexts[0] + GENERATE_TOKENS // 2)
    numbers = reader.numbers(entry)
    known = dict[str, Cell | None]()
    if numbers is not None:
        ttft, tpot = numbers[f"ttft_ms_p50@{HERE}"], numbers[f"tpot_ms_p50@{HERE}"]
        share = bandwidth_share(tpot, moved, ceiling) if ceiling is not None else None
        known = {
            "prefill_per_second": cell_of(per_second(ttft, scope.prompt_tokens)),
            "decode_per_second": cell_of(per_second(tpot, 1)),
            "peak_rss_mb": cell_of(numbers[f"peak_rss_mb@{HERE}"]),
            "bandwidth_share": cell_of(share) if share else None,
        }
    return ShapeRow(
        name=entry.name,
        layout=shape.layout,
        total_parameters=parameters(shape).total,
        bytes_per_token=moved,
        state=entry.state,
        outcome=entry.outcome,
        detail=entry.detail,
        **known,
    )


def _bandwidth_row(team: TeamReading) -> BandwidthRow:
    return BandwidthRow(
        team.threads, best_bandwidth(team), usual_bandwidth(team), len(team.read_ms), team.bytes_read
    )


def _entry_row(entry: ProfileEntryRow) -> EntryRow:
    return EntryRow(
        label=entry_label(entry),
        state=entry.state,
        outcome=entry.outcome,
        detail=entry.detail,
        seconds=_spent(entry, entry.finished_at) if entry.finished_at else None,
        reused=entry.reused,
    )


def entry_label(entry: ProfileEntryRow) -> str:
    """Name what an entry measures."""
    if entry.kind == profiles.BANDWIDTH:
        return "memory bandwidth"
    return f"{entry.name.replace('_', ' ')} × {entry.copies}" if entry.kind == profiles.MIXER else entry.name


def _provenance(
    session: Session, profile: DeviceProfileRow, entries: Sequence[ProfileEntryRow]
) -> dict[str, str]:
    """Name what made the numbers: versions, and the quiet level of the sentinel that every time rests on."""
    named = {
        "loopfront": VERSION,
        **{name: str(value) for name, value in profile.scope["runtime"].items() if value},
        "sentinel": f"version {SENTINEL_VERSION}",
    }
    for calibration_id in dict.fromkeys(entry.calibration_id for entry in entries if entry.calibration_id):
        row = Calibrations(session).get(calibration_id)
        level = f"prefill {row.reference['prefill_ms']:.1f} ms, decode {row.reference['decode_ms']:.2f} ms"
        named["calibrated"] = f"{row.created_at:%Y-%m-%d %H:%M} UTC: {level}"
    return named


def _step(session: Session, device: DeviceRow, entries: Sequence[ProfileEntryRow]) -> str:
    """Return what is being measured now, and what keeps it waiting or has to come first."""
    entry = next((each for each in entries if each.finished_at is None), None)
    if entry is None:
        return ""
    if entry.request_id is None:
        return f"{entry_label(entry)}: {waiting_words(session, device) or 'measuring'}"
    step = request_step(session, MeasurementRequests(session).get(entry.request_id))
    return f"{entry_label(entry)}: {step}"


def _seconds_left(entries: Sequence[ProfileEntryRow], now: datetime) -> float | None:
    done = [
        (entry.effort, _spent(entry, entry.finished_at))
        for entry in entries
        if entry.finished_at is not None and entry.kind != profiles.BANDWIDTH and not entry.reused
    ]
    running = next((each for each in entries if each.started_at and each.finished_at is None), None)
    waiting = sum(entry.effort for entry in entries if entry.state == profiles.WAITING)
    return seconds_left(done, waiting, (running.effort, _spent(running, now)) if running else None)


def _spent(entry: ProfileEntryRow, until: datetime) -> float:
    return max(0.0, (until - entry.started_at).total_seconds()) if entry.started_at else 0.0


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
