"""A passport in words."""

from service.report_passport import passport_lines

PASSPORT = {
    "started_at": "2026-11-23T20:14:23+00:00",
    "device": {"memory_bytes": 25_276_514_304, "is_virtual_machine": True, "turbo": None, "page_bytes": 4096},
    "conditions": {"before": {"temperature_c": 41.5, "clocks_mhz": []}},
    "processes": [
        {"affinity": [0, 1], "load_ms": [70.8, 68.1], "warm_up": {"runs": 8}},
        {"affinity": [0, 1], "load_ms": [92.9, 81.0], "warm_up": {"runs": 19}},
    ],
}


def test_every_leaf_has_its_section_its_words_and_its_unit() -> None:
    lines = passport_lines(PASSPORT)
    assert lines["session · started at"] == "2026-11-23T20:14:23+00:00"
    assert lines["device · memory"] == "25276.5 MB"
    assert lines["device · is virtual machine"] == "yes"
    assert lines["device · turbo"] == "not known"
    assert lines["device · page"] == "4096 bytes"
    assert lines["conditions · before temperature"] == "41.5 °C"
    assert lines["conditions · before clocks"] == "not known"


def test_what_processes_share_is_said_once_and_what_differs_in_their_order() -> None:
    lines = passport_lines(PASSPORT)
    assert lines["processes · affinity"] == "0, 1"
    assert lines["processes · load"] == "70.8, 68.1 ms | 92.9, 81 ms"
    assert lines["processes · warm up runs"] == "8 | 19"
