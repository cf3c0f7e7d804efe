"""A passport's lines, sorted."""

from reports.passport import sections


def test_lines_are_sorted_into_their_sections() -> None:
    lines = {"device · cores": "2", "laptop · processes · load": "1 ms", "device · kernel": "6", "seed": "7"}
    assert sections(lines) == {
        "device": {"cores": "2", "kernel": "6"},
        "laptop · processes": {"load": "1 ms"},
        "passport": {"seed": "7"},
    }
