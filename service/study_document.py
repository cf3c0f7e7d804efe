"""Read the text of a study file into plain values, strictly and with bounded effort."""

from collections.abc import Hashable
from typing import Any

import yaml

from service.errors import StudyFileError

LARGEST_BYTES = 256 * 1024
DEEPEST = 30


class _StrictLoader(yaml.SafeLoader):
    """Plain values only: no tags, no aliases (a few lines of them can grow to gigabytes), no key twice."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse aliases, and nesting that would exhaust the stack."""
        if self.check_event(yaml.AliasEvent):
            raise StudyFileError("aliases (*name) aren't supported", hint="write the value out")
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML tells no types
        if getattr(event, "tag", None) is not None:
            line = event.start_mark.line + 1
            raise StudyFileError(f"line {line}: the tag {event.tag!r} isn't supported", hint="leave it out")
        self.depth += 1
        if self.depth > DEEPEST:
            raise StudyFileError(f"nested more than {DEEPEST} levels deep", hint="see examples/pocket.yaml")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is there twice: the first would silently be lost."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise StudyFileError(
                    f"line {key.start_mark.line + 1}: a key is not a plain word", hint="use words"
                )
            if key.value in seen:
                line = key.start_mark.line + 1
                raise StudyFileError(
                    f"the key {key.value!r} is there twice, again in line {line}", hint="keep one"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_document(content: bytes | str) -> dict[str, Any]:
    """Parse YAML (JSON is YAML too); raise StudyFileError for anything but one mapping with text keys."""
    text = _decoded(content)
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader that is stricter still
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise StudyFileError(f"{place}: {error.problem}", hint="is it YAML?") from None
    except StudyFileError:
        raise
    except Exception as error:  # PyYAML's constructors of dates and numbers raise what they like
        raise StudyFileError(f"can't be read: {error}", hint="is it YAML?") from None
    if not isinstance(value, dict):
        raise StudyFileError(f"holds {_kind(value)}, not keys and values", hint="see examples/pocket.yaml")
    return value


def _decoded(content: bytes | str) -> str:
    if len(content) > LARGEST_BYTES:
        raise StudyFileError(f"is over {LARGEST_BYTES} bytes", hint="a study file has about 30 lines")
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StudyFileError(f"isn't UTF-8: byte {error.start}", hint="save it as UTF-8") from None


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
