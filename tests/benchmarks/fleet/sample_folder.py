"""Keeps every finished measurement of the benchmark in a file of its own, so that none is taken twice."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class OtherRun(Exception):
    """The folder holds samples of a run with other settings, or on another machine."""


class SampleFolder:
    """One JSON file per measurement, by part and key such as ``repeat/round-1/07``; written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Note with what the samples are taken; raise OtherRun where those here were taken with something else."""
        stored = self.get("settings") or self.put("settings", settings)
        different = sorted(key for key in {*stored, *settings} if stored.get(key) != settings.get(key))
        if different:
            told = ", ".join(f"{key} {stored.get(key)!r}, now {settings.get(key)!r}" for key in different)
            raise OtherRun(f"{self.folder} holds samples with {told}: remove it or name another --folder")

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under a key, if anything is."""
        path = self._path(key)
        return json.loads(path.read_text()) if path.exists() else None

    def put(self, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Keep something, and return it as it would be read again."""
        path, text = self._path(key), json.dumps(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(text)
        temporary.replace(path)
        return json.loads(text)

    def once(self, key: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return what is kept under a key; make it and keep it where nothing is."""
        return self.get(key) or self.put(key, make())

    def under(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return everything under ``repeat/round-1`` by the last part of its key, in order."""
        paths = sorted((self.folder / prefix).glob("*.json"))
        return {path.stem: json.loads(path.read_text()) for path in paths}

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
