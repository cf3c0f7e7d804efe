"""The identity of a machine: stable, and not the machine id itself."""

from pathlib import Path

import pytest

from devices.identity import machine_identity


def test_the_machine_id_is_hashed_and_the_same_everywhere(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("0123456789abcdef\n")
    first = machine_identity(tmp_path / "one", (machine_id,))
    assert first == machine_identity(tmp_path / "two", (machine_id,))
    assert "0123456789abcdef" not in first


@pytest.mark.parametrize("text", [None, "", "uninitialized\n"])
def test_without_a_machine_id_one_is_made_and_kept(tmp_path: Path, text: str | None) -> None:
    machine_id = tmp_path / "machine-id"
    if text is not None:
        machine_id.write_text(text)
    first = machine_identity(tmp_path / "agent", (machine_id,))
    assert first == machine_identity(tmp_path / "agent", (machine_id,))
    assert first != machine_identity(tmp_path / "another", (machine_id,))
