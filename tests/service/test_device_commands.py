"""`loopfront device` as people type it."""

import json
from pathlib import Path

from command_line import loopfront, one_line
from serving import HandDrivenAgent, a_service


def test_devices_are_listed_paused_resumed_and_labelled(tmp_path: Path) -> None:
    with a_service(tmp_path) as running:
        agent = HandDrivenAgent(running.url)
        phone = {"name": "phone", "kind": "adb", "state": "unopened", "words": "[bold]accept the dialog"}
        agent.http.put(f"/agents/{agent.agent_id}/stations", json={"stations": [phone]})
        agent.close()
        where = ("--url", running.url)
        paused = loopfront("device", "pause", "simulated-laptop", *where, "--json")
        assert json.loads(paused.stdout)["state"] == "paused"
        labelled = loopfront("device", "label", "simulated-laptop", "room=lab", "owner=ada", *where, "--json")
        assert json.loads(labelled.stdout)["labels"] == {"room": "lab", "owner": "ada"}
        unlabelled = loopfront("device", "label", "simulated-laptop", "room=", *where, "--json")
        assert json.loads(unlabelled.stdout)["labels"] == {"owner": "ada"}
        listed = loopfront("device", "list", *where, COLUMNS="160").stdout
        assert "simulated-laptop: paused; loopfront device resume simulated-laptop" in listed
        assert "phone: can't be opened: [bold]accept the dialog; on the lab host: loopfront agent" in listed
        assert "owner=ada" in listed
        as_json = json.loads(loopfront("device", "list", *where, "--json").stdout)
        assert [(each["name"], each["id"] is None) for each in as_json] == [
            ("simulated-laptop", False),
            ("phone", True),
        ]
        resumed = loopfront("device", "resume", "simulated-laptop", *where)
        assert resumed.stdout.startswith("simulated-laptop: idle")
        unknown = loopfront("device", "pause", "pixel", *where)
        assert unknown.returncode == 2
        assert "there is no device 'pixel'; known are simulated-laptop" in one_line(unknown.stderr)
        wrong = loopfront("device", "label", "simulated-laptop", "room", *where)
        assert wrong.returncode == 2
        assert "'room' is no label; write it as room=lab" in one_line(wrong.stderr)
