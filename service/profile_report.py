"""Make the report of a device's profile from its entries and what they measured."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy.orm import Session

from devices.outcome import BandwidthMeasured, Measured, TeamReading, outcome_from_dict
from operators.architecture import Architecture
from operators.cost import decode_bytes, parameters
from operators.mixer import Mixer
from operators.notation import architecture_from_dict
from reports.profile_rows import BandwidthRow, CostRow, EntryRow, MixerCostRow, ProfileReport, ShapeRow
from reports.rows import Cell
from search.observation import Observation
from service.measured_cache import MeasuredCache
from service.measurement_desk import read_calibration
from service.observations import observe
from service.profile_numbers import (
    bandwidth_share,
    best_bandwidth,
    per_second,
    ratio,
    seconds_left,
    slope,
    usual_bandwidth,
)
from service.profile_scope import GENERATE_TOKENS, PRECISION, ProfileScope, scope_from_dict
from service.report_devices import device_facts
from service.report_words import measuring_provenance, precision_text
from service.store import profiles
from service.store.agents import Devices
from service.store.database import database_now
from service.store.measurements import Calibrations, Measurements
from service.store.profiles import Profiles
from service.store.rows import DeviceProfileRow, ProfileEntryRow
from service.store.trials import Candidates

BASE_MIXER = "short_conv"
_HERE = "here"
"""The target's name within a profile, which has only one."""

Numbers = dict[str, Observation]


class _Reader:
    """A profile's rows with everything that stands behind them."""

    def __init__(self, session: Session, cache: MeasuredCache, profile: DeviceProfileRow) -> None:
        self.session, self.cache = session, cache
        self.profile = profile
        self.scope: ProfileScope = scope_from_dict(profile.scope)
        self.entries = Profiles(session).entries(profile.id)

    def architecture(self, entry: ProfileEntryRow) -> Architecture:
        return architecture_from_dict(Candidates(self.session).get(entry.candidate_digest or "").architecture)

    def measured(self, entry: ProfileEntryRow) -> Measured | None:
        if entry.measurement_id is None or entry.state != profiles.DONE:
            return None
        return self.cache.read(self.session, entry.measurement_id)

    def numbers(self, entry: ProfileEntryRow) -> Numbers | None:
        measured = self.measured(entry)
        if measured is None or entry.calibration_id is None:
            return None
        reference = read_calibration(Calibrations(self.session).get(entry.calibration_id)).reference
        return observe(measured, reference, _HERE)

    def teams(self) -> tuple[TeamReading, ...]:
        entry = next(each for each in self.entries if each.kind == profiles.BANDWIDTH)
        if entry.measurement_id is None or entry.state != profiles.DONE:
            return ()
        outcome = outcome_from_dict(Measurements(self.session).get(entry.measurement_id).outcome)
        return outcome.teams if isinstance(outcome, BandwidthMeasured) else ()


def profile_report(session: Session, cache: MeasuredCache, profile: DeviceProfileRow) -> ProfileReport:
    """Make the report of a profile as it is now."""
    reader = _Reader(session, cache, profile)
    device = Devices(session).get(profile.device_id)
    teams = reader.teams()
    ceiling = next((best_bandwidth(team) for team in teams if team.threads == reader.scope.threads), None)
    now = database_now(session)
    all_measured = [found for entry in reader.entries if (found := reader.measured(entry)) is not None]
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
        mixers=_mixer_rows(reader, ceiling),
        shapes=tuple(_shape_rows(reader, ceiling)),
        entries=tuple(_entry_row(entry) for entry in reader.entries),
        facts=device_facts(device.facts),
        provenance=measuring_provenance(all_measured),
        step=_step(reader.entries) if profile.state in profiles.OPEN else "",
        seconds_left=_seconds_left(reader.entries, now) if profile.state in profiles.OPEN else None,
    )


def places(scope: ProfileScope) -> tuple[tuple[str, int, str], ...]:
    """List where mixers are compared: the place's name, its tokens, and the metric that tells its time."""
    first, *deeper = scope.contexts
    decode = [(first, f"tpot_ms_p50@{_HERE}"), *((each, f"tpot_ms_p50_at_{each}@{_HERE}") for each in deeper)]
    prefill = (f"prefill of {scope.prompt_tokens}", scope.prompt_tokens, f"ttft_ms_p50@{_HERE}")
    return (prefill, *((f"decode at {tokens}", tokens, metric) for tokens, metric in decode))


# -- mixers --


def _mixer_rows(reader: _Reader, ceiling: float | None) -> tuple[MixerCostRow, ...]:
    pairs: dict[str, list[ProfileEntryRow]] = {}
    for entry in reader.entries:
        if entry.kind == profiles.MIXER:
            pairs.setdefault(entry.name, []).append(entry)
    slopes = {name: _slopes(reader, pair) for name, pair in pairs.items()}
    base = slopes.get(BASE_MIXER, {})
    return tuple(_mixer_row(reader, pair, slopes[name], base, ceiling) for name, pair in pairs.items())


def _slopes(reader: _Reader, pair: Sequence[ProfileEntryRow]) -> dict[str, Observation]:
    """Return what a further copy adds at every place, as far as both stacks were measured."""
    few, many = (reader.numbers(entry) for entry in pair)
    if few is None or many is None:
        return {}
    copies = (pair[0].copies, pair[1].copies)
    return {place: slope(few[metric], many[metric], copies) for place, _, metric in places(reader.scope)}


def _mixer_row(
    reader: _Reader,
    pair: Sequence[ProfileEntryRow],
    found: dict[str, Observation],
    base: dict[str, Observation],
    ceiling: float | None,
) -> MixerCostRow:
    few, many = (reader.architecture(entry) for entry in pair)
    mixer = few.blocks[0].mixer
    return MixerCostRow(
        code=mixer.code,
        name=mixer.name.replace("_", " "),
        sizes=_sizes(mixer),
        parameters=mixer.parameters(few.hidden_size),
        few_copies=pair[0].copies,
        many_copies=pair[1].copies,
        costs=tuple(
            _cost_row(place, tokens, found.get(place), base.get(place), pair,
                      _share(found.get(place), few, many, tokens, ceiling) if place.startswith("decode") else None)
            for place, tokens, _ in places(reader.scope)
        ),
    )  # fmt: skip


def _cost_row(
    place: str,
    tokens: int,
    milliseconds: Observation | None,
    base: Observation | None,
    pair: Sequence[ProfileEntryRow],
    share: Cell | None,
) -> CostRow:
    if milliseconds is None:
        outcome, detail = _why_missing(pair)
        return CostRow(place, tokens, outcome=outcome, detail=detail)
    if pair[0].name == BASE_MIXER:
        compared: Observation | None = Observation.exact(1.0) if milliseconds.low > 0 else None
    else:
        compared = ratio(milliseconds, base) if base is not None else None
    why = "" if compared is not None else "too_noisy" if base is not None else "nothing_to_compare"
    return CostRow(
        place,
        tokens,
        _cell(milliseconds),
        _cell(compared) if compared else None,
        share,
        why,
        _WORDS.get(why, ""),
    )


_WORDS = {
    "too_noisy": "the interval of what a further copy adds reaches down to nothing",
    "nothing_to_compare": "short conv has no time here",
}


def _share(
    milliseconds: Observation | None,
    few: Architecture,
    many: Architecture,
    context_tokens: int,
    ceiling: float | None,
) -> Cell | None:
    if milliseconds is None or ceiling is None:
        return None
    depth = context_tokens + GENERATE_TOKENS // 2
    moved = decode_bytes(many, PRECISION, depth) - decode_bytes(few, PRECISION, depth)
    share = bandwidth_share(milliseconds, moved / (len(many.blocks) - len(few.blocks)), ceiling)
    return _cell(share) if share else None


def _why_missing(entries: Iterable[ProfileEntryRow]) -> tuple[str, str]:
    """Tell the first failure of what a number is made from, or that it is still to come."""
    failed = next((entry for entry in entries if entry.state == profiles.FAILED), None)
    return (failed.outcome, failed.detail) if failed else ("", "")


def _sizes(mixer: Mixer) -> str:
    named = {
        "heads": "heads", "kv_heads": "kv heads", "key_heads": "heads", "head_size": "head size",
        "key_head_size": "head size", "window": "window", "kernel_size": "kernel",
    }  # fmt: skip
    values = asdict(mixer)  # type: ignore[call-overload]
    return ", ".join(f"{word} {values[name]}" for name, word in named.items() if name in values)


# -- shapes --


def _shape_rows(reader: _Reader, ceiling: float | None) -> Iterable[ShapeRow]:
    for entry in reader.entries:
        if entry.kind == profiles.SHAPE:
            yield _shape_row(reader, entry, ceiling)


def _shape_row(reader: _Reader, entry: ProfileEntryRow, ceiling: float | None) -> ShapeRow:
    shape, scope = reader.architecture(entry), reader.scope
    moved = decode_bytes(shape, PRECISION, scope.contexts[0] + GENERATE_TOKENS // 2)
    numbers = reader.numbers(entry)
    known = dict[str, Cell | None]()
    if numbers is not None:
        ttft, tpot = numbers[f"ttft_ms_p50@{_HERE}"], numbers[f"tpot_ms_p50@{_HERE}"]
        share = bandwidth_share(tpot, moved, ceiling) if ceiling is not None else None
        known = {
            "prefill_per_second": _cell(per_second(ttft, scope.prompt_tokens)),
            "decode_per_second": _cell(per_second(tpot, 1)),
            "peak_rss_mb": _cell(numbers[f"peak_rss_mb@{_HERE}"]),
            "bandwidth_share": _cell(share) if share else None,
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


# -- the rest --


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


def _step(entries: Sequence[ProfileEntryRow]) -> str:
    entry = next((each for each in entries if each.finished_at is None), None)
    return entry_label(entry) if entry is not None else ""


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


def _cell(observation: Observation) -> Cell:
    return Cell(observation.value, observation.low, observation.high, observation.raw)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
