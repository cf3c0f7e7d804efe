"""The fields of a study file and their types, before anything is made of them."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from devices.plan import Profile
from service.workloads import Contexts

LARGEST_QUANTITY = 4_000_000_000
"""As `search.space.LARGEST_PARAMETERS`, which would load torch for a command that only asks a service."""

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([KMBG]?)", re.IGNORECASE)


def read_quantity(value: object) -> object:
    """Take 60M, 1.5B or 60000000 as a whole number; leave anything else to the type check."""
    if isinstance(value, float) and value.is_integer() and value <= LARGEST_QUANTITY:
        return int(value)
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value.strip())
    if match is None:
        raise ValueError("expected a number such as 60M or 60000000")
    quantity = float(match[1]) * _SUFFIXES[match[2].upper()]
    if quantity > LARGEST_QUANTITY:
        raise ValueError(f"expected at most {LARGEST_QUANTITY:_}")
    return round(quantity)


def _read_number(value: object) -> object:
    # YAML 1.1 takes 1e-2 for text.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Quantity = Annotated[int, BeforeValidator(read_quantity), Field(le=LARGEST_QUANTITY)]
Number = Annotated[float, BeforeValidator(_read_number)]
Range = Annotated[list[Number], Field(min_length=2, max_length=2)]
WholeRange = Annotated[list[int], Field(min_length=2, max_length=2)]
Label = Annotated[str, Field(min_length=1, max_length=100)]
Layout = Annotated[str, Field(min_length=1, max_length=256)]
StudyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
TargetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]


class Fields(BaseModel):
    """A mapping of the file: nothing unknown, nothing converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class BudgetFields(Fields):
    """`budget`."""

    parameters: Quantity
    tolerance: Number = 0.01


class SpaceFields(Fields):
    """`space`."""

    vocabulary: Quantity
    embedding_ratio: Range
    depth: WholeRange
    ffn_ratio: Range = [0.75, 6.0]  # pydantic copies it
    mixers: Annotated[dict[str, dict[str, int | list[int]] | None], Field(min_length=1)]


class PrecisionFields(Fields):
    """`precision`."""

    # Which ones there are is told better by Precision.
    bits: int = Field(default=4, ge=0, le=1024)
    block_size: int = Field(default=32, ge=0, le=1024)


class WorkloadFields(Fields):
    """`workload`."""

    prompt_tokens: int = Field(default=256, ge=1, le=32768)
    context_tokens: Contexts = 512
    generate_tokens: int = Field(default=64, ge=1, le=4096)
    batch: int = Field(default=1, ge=1, le=8)
    threads: int = Field(default=1, ge=1, le=256)


class MeasuringFields(Fields):
    """`measuring`."""

    profile: Profile = "as-shipped"
    half_width: Number = Field(default=0.04, ge=0.01, le=0.2)


class TargetFields(Fields):
    """One entry of `targets`."""

    device: Label | None = None
    labels: dict[str, str] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "TargetFields":
        if (self.device is None) == (self.labels is None):
            raise ValueError("give either `device` (`local` is this machine) or `labels`")
        return self


class StudyFields(Fields):
    """The whole file."""

    study: StudyName
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    trials: int = Field(ge=1, le=100_000)
    device_minutes: Number | None = Field(default=None, gt=0.0, le=1e6)
    budget: BudgetFields
    space: SpaceFields
    precision: PrecisionFields = PrecisionFields()
    workload: WorkloadFields = WorkloadFields()
    measuring: MeasuringFields = MeasuringFields()
    targets: Annotated[dict[TargetName, TargetFields], Field(min_length=1, max_length=64)]
    objectives: Annotated[list[Label], Field(min_length=1, max_length=16)]
    constraints: Annotated[list[Label], Field(max_length=32)] = []  # pydantic copies it
    references: Annotated[list[Label], Field(max_length=32)] = []  # pydantic copies it
    enqueue: Annotated[list[Layout], Field(max_length=1000)] = []  # pydantic copies it


MAPPINGS: dict[str, type[Fields]] = {
    "": StudyFields,
    "budget": BudgetFields,
    "space": SpaceFields,
    "precision": PrecisionFields,
    "workload": WorkloadFields,
    "measuring": MeasuringFields,
    "targets.*": TargetFields,
}
"""Which keys are known where; an unknown one is answered with the nearest of these."""


def known_keys(place: str) -> tuple[str, ...]:
    """List the keys that a mapping of the file may have."""
    first, dot, _ = place.partition(".")
    model = MAPPINGS.get(place) or MAPPINGS.get(f"{first}{dot}*")
    return tuple(model.model_fields) if model else ()


def as_document(fields: StudyFields) -> dict[str, Any]:
    """Write the fields as plain JSON values, defaults filled in: what a study stores.

    `measuring` is left out where it says nothing: studies of earlier versions, which knew none, keep their digest.
    """
    silent = {"measuring"} if fields.measuring == MeasuringFields() else set()
    return fields.model_dump(mode="json", exclude_none=True, exclude=silent)
