"""JSON merge patch (RFC 7396): what is named is replaced, null takes away, mappings are merged."""

from collections.abc import Mapping
from typing import Any


def merge_patched(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with the patch applied; neither is changed."""
    merged = dict(document)
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        elif isinstance(change, Mapping):
            before = merged.get(name)
            merged[name] = merge_patched(before if isinstance(before, Mapping) else {}, change)
        else:
            merged[name] = change
    return merged
