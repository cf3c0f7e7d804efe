from pathlib import Path

import pytest

from tests.benchmarks.fleet.sample_folder import OtherRun, SampleFolder


def test_what_is_kept_is_not_made_again(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"value": 5}

    for _ in range(2):
        assert SampleFolder(tmp_path).once("part/round-1/00", make) == {"value": 5}
    assert made == [1]
    assert SampleFolder(tmp_path).under("part/round-1") == {"00": {"value": 5}}


def test_what_was_cut_off_while_it_was_written_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "00.part").write_text('{"val')
    assert SampleFolder(tmp_path).get("part/00") is None
    assert SampleFolder(tmp_path).under("part") == {}


def test_samples_of_another_run_are_refused_by_name(tmp_path: Path) -> None:
    SampleFolder(tmp_path).claim({"candidates": 40, "machine": "a"})
    SampleFolder(tmp_path).claim({"candidates": 40, "machine": "a"})
    with pytest.raises(OtherRun, match=r"candidates 40, now 12: remove it or name another --folder"):
        SampleFolder(tmp_path).claim({"candidates": 12, "machine": "a"})
