"""agent.toml: what can't be read again is never written, and what can't be used is named."""

from pathlib import Path

import pytest

from devices.agent_config import (
    HostEntry,
    add_entry,
    read_agent_config,
    read_phone_entries,
    replace_host_key,
    require_addable,
)
from devices.device_name import is_name, plain_name
from devices.errors import ConfigUnusable
from devices.ssh import SshHost

KEY = "ssh-ed25519 SHA256:" + 43 * "A"
OTHER_KEY = "ssh-ed25519 SHA256:" + 43 * "B"


def an_entry(name: str = "desk", folder: str | None = None, user: str = "lab") -> HostEntry:
    return HostEntry(name, SshHost("10.0.0.7", user, Path("/keys/id"), KEY, 22), folder)


@pytest.mark.parametrize("name", ["büro", "lab/desk", "-desk", "x" * 101, "", "desk\n", "🖥"])
def test_a_name_that_the_service_would_refuse_is_named_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "agent.toml"
    with pytest.raises(ConfigUnusable, match="name"):
        add_entry(path, an_entry(name))
    assert not path.exists()
    assert not is_name(name)


@pytest.mark.parametrize("folder", ["~/loopfront", "data", ""])
def test_a_folder_that_is_no_whole_path_is_named_before_anything_is_written(
    tmp_path: Path, folder: str
) -> None:
    with pytest.raises(ConfigUnusable, match="folder"):
        require_addable(tmp_path / "agent.toml", an_entry(folder=folder))


def test_whatever_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    for number, user in enumerate(('o"brien', "back\\slash", "del\x7f", "emoji🖥", "tab\t")):
        add_entry(path, an_entry(f"desk {number}", "/data/größe 🖥", user))
    assert [each.host.user for each in read_agent_config(path)] == [
        'o"brien', "back\\slash", "del\x7f", "emoji🖥", "tab\t",
    ]  # fmt: skip
    assert read_agent_config(path)[0].folder == "/data/größe 🖥"


def test_a_name_that_a_phone_has_is_not_given_again(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[[phone]]\nserial = "1"\nname = "red phone"\n')
    with pytest.raises(ConfigUnusable, match="a name of its own"):
        add_entry(path, an_entry("red phone"))
    assert read_phone_entries(path)[0].name == "red phone"


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_key_is_pinned_anew_however_it_is_quoted(tmp_path: Path, quote: str) -> None:
    path = tmp_path / "agent.toml"
    add_entry(path, an_entry())
    path.write_text(path.read_text().replace(f'"{KEY}"', f"{quote}{KEY}{quote}"))
    replace_host_key(path, KEY, OTHER_KEY)
    assert read_agent_config(path)[0].host.host_key == OTHER_KEY


def test_a_key_that_is_not_found_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    add_entry(path, an_entry())
    with pytest.raises(ConfigUnusable, match="edit it by hand"):
        replace_host_key(path, OTHER_KEY, KEY)


@pytest.mark.parametrize(
    ("text", "name"), [("红米 Note-ABCD", "Note-ABCD"), ("小米", "phone"), ("Pixel 8-1F2A", "Pixel-8-1F2A")]
)
def test_a_name_is_made_of_whatever_a_model_is_called(text: str, name: str) -> None:
    assert plain_name(text, "phone") == name
    assert is_name(name)
