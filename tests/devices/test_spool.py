"""The spool: what is put in survives, comes out in order, and cannot escape its folder."""

from pathlib import Path

from devices.spool import Spool


def test_outcomes_come_out_in_the_order_they_went_in_also_for_a_new_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for job_id in ("b", "a", "c"):
        spool.put(job_id, 1, {"kind": "timed_out"})
    assert [spooled.job_id for spooled in Spool(tmp_path / "spool").waiting()] == ["b", "a", "c"]


def test_an_acknowledged_outcome_is_gone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put("a", 1, {})
    spool.acknowledge(spool.waiting()[0])
    assert spool.waiting() == []


def test_two_attempts_of_one_job_are_two_outcomes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put("a", 1, {})
    spool.put("a", 2, {})
    assert [spooled.token for spooled in spool.waiting()] == [1, 2]


def test_half_written_and_unreadable_files_do_not_block_the_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "x-1.json").write_text("{")
    (tmp_path / "y-1.json").write_text('{"job_id": "y"}')
    (tmp_path / "z-1.part").write_text("")
    spool.put("a", 1, {})
    assert [spooled.job_id for spooled in spool.waiting()] == ["a"]
    assert {path.name for path in (tmp_path / "refused").iterdir()} == {"x-1.json", "y-1.json"}


def test_a_job_id_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.put("../../etc/passwd", 1, {})
    assert [spooled.job_id for spooled in spool.waiting()] == ["../../etc/passwd"]
    assert {path.name for path in tmp_path.iterdir()} == {"spool"}


def test_what_a_full_disk_does_not_take_is_kept_in_memory_and_written_once_there_is_room(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "a-1.part").symlink_to("/dev/full")
    spool.put("a", 1, {"kind": "timed_out"})
    assert list(tmp_path.glob("*.json")) == []
    assert [spooled.job_id for spooled in spool.waiting()] == ["a"]
    assert [spooled.job_id for spooled in Spool(tmp_path).waiting()] == ["a"]


def test_an_outcome_that_was_never_written_can_be_acknowledged_and_set_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    (tmp_path / "spool").rmdir()
    spool.put("a", 1, {})
    spool.put("b", 1, {})
    first, second = spool.waiting()
    spool.acknowledge(first)
    spool.set_aside(second.path)
    assert spool.waiting() == []
