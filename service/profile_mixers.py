"""What each mixer costs: slopes over copies, and their ratios to a short conv."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from operators.architecture import Architecture
from operators.cost import decode_bytes
from operators.mixer import Mixer
from reports.profile_rows import CostRow, MixerCostRow
from reports.rows import Cell
from search.observation import Observation
from service.profile_numbers import bandwidth_share, ratio, slope
from service.profile_reader import ProfileReader, cell_of
from service.profile_scope import GENERATE_TOKENS, HERE, PRECISION, ProfileScope
from service.store import profiles
from service.store.rows import ProfileEntryRow

BASE_MIXER = "short_conv"


def places(scope: ProfileScope) -> tuple[tuple[str, int, str], ...]:
    """List where mixers are compared: the place's name, its tokens, and the metric that tells its time."""
    first, *deeper = scope.contexts
    decode = [(first, f"tpot_ms_p50@{HERE}"), *((each, f"tpot_ms_p50_at_{each}@{HERE}") for each in deeper)]
    prefill = (f"prefill of {scope.prompt_tokens}", scope.prompt_tokens, f"ttft_ms_p50@{HERE}")
    return (prefill, *((f"decode at {tokens}", tokens, metric) for tokens, metric in decode))


def mixer_rows(reader: ProfileReader, ceiling: float | None) -> tuple[MixerCostRow, ...]:
    """Show every mixer of a profile at every place; `ceiling` is the memory's bandwidth in bytes per second."""
    pairs: dict[str, list[ProfileEntryRow]] = {}
    for entry in reader.entries:
        if entry.kind == profiles.MIXER:
            pairs.setdefault(entry.name, []).append(entry)
    slopes = {name: _slopes(reader, pair) for name, pair in pairs.items()}
    base = slopes.get(BASE_MIXER, {})
    return tuple(_mixer_row(reader, pair, slopes[name], base, ceiling) for name, pair in pairs.items())


def _slopes(reader: ProfileReader, pair: Sequence[ProfileEntryRow]) -> dict[str, Observation]:
    """Return what a further copy adds at every place, as far as both stacks were measured."""
    few, many = (reader.numbers(entry) for entry in pair)
    if few is None or many is None:
        return {}
    copies = (pair[0].copies, pair[1].copies)
    return {
        place: slope(few[metric], many[metric], copies)
        for place, _, metric in places(reader.scope)
        if metric in few and metric in many
    }


def _mixer_row(
    reader: ProfileReader,
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
        cell_of(milliseconds),
        cell_of(compared) if compared else None,
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
    return cell_of(share) if share else None


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
