"""The plain rows that every table, chart, page and export is made from.

The service fills them; nothing here knows a database, a device or a sampler. All values are JSON values,
all moments are ISO 8601 text in UTC, all names of metrics are `metric@target`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["minimize", "maximize"]
TrialKind = Literal["trial", "enqueued", "reference"]
TrialState = Literal["measured", "failed", "running", "waiting", "duplicate"]


@dataclass(frozen=True)
class MetricColumn:
    """One metric as a column: `name` is `metric@target`, `label` its title, `short` a word for tight places.

    `note` says how far to trust it; of a proxy: its kind and what it has been checked against.
    `error_is_shared` says that one unknown moves all candidates' values alike: low belongs to low, high to high.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    digits: int
    is_objective: bool
    note: str = ""
    is_proxy: bool = False
    short: str = ""
    error_is_shared: bool = False


@dataclass(frozen=True)
class Cell:
    """One value with its 95 % interval; for a time `value` is the paired one and `raw` stands beside it."""

    value: float
    low: float | None = None
    high: float | None = None
    raw: float | None = None
    note: str = ""


@dataclass(frozen=True)
class BlockRow:
    """One block of a layout: the mixer's letter, its name with its sizes, and the FFN width after it."""

    code: str
    mixer: str
    ffn_width: int


@dataclass(frozen=True)
class TrialRow:
    """One trial or reference, with every value that is known of it so far.

    `closest` marks the least violating trials of a study in which none meets the constraints.
    `detail` is the reason of a failure in one line, `log_excerpt` the last lines of its log.
    `href` leads to the trial's own page, "" where there is none. `flags` say what makes its numbers doubtful.
    """

    number: int
    kind: TrialKind
    label: str
    state: TrialState
    on_front: bool
    knee: bool
    layout: str
    hidden_size: int
    blocks: tuple[BlockRow, ...]
    total_parameters: int
    effective_parameters: int
    embedding_ratio: float
    recall_pattern: str
    cells: Mapping[str, Cell] = field(default_factory=dict)
    violations: tuple[str, ...] = ()
    closest: bool = False
    outcome: str = ""
    detail: str = ""
    href: str = ""
    log_excerpt: str = ""
    digest: str = ""
    seconds: float | None = None
    finished_at: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockSamplesRow:
    """The raw times of one block of one process, in the order in which they were taken."""

    process: int
    block: int
    candidate_first: bool
    candidate_ms: tuple[float, ...]
    sentinel_ms: tuple[float, ...]


@dataclass(frozen=True)
class PhaseSamplesRow:
    """All raw samples of one phase ("prefill" or "decode") of one trial on one target."""

    phase: str
    target: str
    blocks: tuple[BlockSamplesRow, ...]


@dataclass(frozen=True)
class TrialDetail:
    """What stands behind a trial's numbers: its raw samples and its passport."""

    samples: tuple[PhaseSamplesRow, ...] = ()
    passport: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptRow:
    """One attempt at measuring: what for, where, by whom, how it ended ("measured", "device_lost", "no report came").

    `device` says in brackets which of a study's targets it stands for; `reason` is one line, `log` what ran, both ""
    where there is none; `seconds` count until now while it lasts.
    """

    began_at: str
    seconds: float
    purpose: str
    device: str
    agent: str
    ending: str
    is_failure: bool
    reason: str = ""
    log: str = ""


@dataclass(frozen=True)
class HypervolumePoint:
    """The hypervolume of the front once trial number `trial` was told."""

    trial: int
    value: float


@dataclass(frozen=True)
class RepeatRow:
    """How well one metric repeated when `n` candidates were measured again.

    `pairs` holds (first, second) of each candidate; `median_difference` is relative: 0.02 is 2 %.
    """

    metric: str
    label: str
    kind: Literal["raw", "paired"]
    rank_correlation: float
    median_difference: float
    n: int
    pairs: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class SentinelPoint:
    """The sentinel's own median times during one measurement, in the order of the session."""

    order: int
    label: str
    prefill_ms: float
    decode_ms: float
    temperature_c: float | None = None
    target: str = ""


@dataclass(frozen=True)
class DeviceRow:
    """One device: its passport's facts, its calibration, and the sentinel's quiet times on it."""

    name: str
    target: str
    facts: Mapping[str, str]
    calibration: Mapping[str, str]
    sentinel_prefill_ms: float | None = None
    sentinel_decode_ms: float | None = None


@dataclass(frozen=True)
class CurrentRow:
    """A candidate under way, and what is happening to it now: "measuring on laptop, process 2"."""

    number: int
    layout: str
    step: str


@dataclass(frozen=True)
class ProgressRow:
    """A study's progress at one moment; `seconds_left_*` is a band, None while nothing honest can be said."""

    study: str
    state: str
    requested_trials: int
    trials_done: int
    trials_under_way: int
    trials_failed: int
    front_size: int
    elapsed_seconds: float
    hypervolume: float | None = None
    hypervolume_history: tuple[float, ...] = ()
    current: tuple[CurrentRow, ...] = ()
    seconds_left_low: float | None = None
    seconds_left_high: float | None = None
    last_finished: TrialRow | None = None
    columns: tuple[MetricColumn, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class StudyReport:
    """Everything a study's report shows; `details` may be empty where the page must stay light."""

    name: str
    state: str
    created_at: str
    finished_at: str | None
    seconds: float
    requested_trials: int
    workload: Mapping[str, str]
    precision: str
    budget: str
    space: Mapping[str, str]
    columns: tuple[MetricColumn, ...]
    trials: tuple[TrialRow, ...]
    devices: tuple[DeviceRow, ...]
    hypervolume: tuple[HypervolumePoint, ...]
    reference_point: Mapping[str, float]
    repeatability: tuple[RepeatRow, ...]
    sentinel: tuple[SentinelPoint, ...]
    provenance: Mapping[str, str]
    caveats: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    details: Mapping[int, TrialDetail] = field(default_factory=dict)
    progress: ProgressRow | None = None


@dataclass(frozen=True)
class StudySummaryRow:
    """One line of the list of studies."""

    name: str
    state: str
    created_at: str
    requested_trials: int
    trials_done: int
    trials_failed: int
    front_size: int
    targets: tuple[str, ...]
    href: str
    device_seconds: float = 0.0


@dataclass(frozen=True)
class DeviceSummaryRow:
    """One device of the list of devices.

    `state` is measuring, idle, resting, paused, quarantined, away or unopened; `reason` says why, `hint` what to type
    and `hint_place` where, `commands` what can be typed anyway. `is_registered` is False for one that its agent never
    could open; `profile_href` leads to its profile, "" where there is none.
    """

    name: str
    state: str
    kind: str
    agent: str
    facts: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    hint: str = ""
    hint_place: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    last_measured_at: str | None = None
    examined_at: str | None = None
    examination: str = ""
    log_href: str = ""
    commands: tuple[str, ...] = ()
    is_registered: bool = True
    profile_href: str = ""

    @property
    def state_words(self) -> str:
        """The state as people say it."""
        return "can't be opened" if self.state == "unopened" else self.state

    @property
    def needs_someone(self) -> bool:
        """Tell whether it will not be measured again before someone has done something."""
        return self.state in {"unopened", "quarantined", "away", "paused"}


@dataclass(frozen=True)
class MeasurementReport:
    """One architecture measured on its own: the row, its columns, its device and what stands behind it."""

    trial: TrialRow
    columns: tuple[MetricColumn, ...]
    device: DeviceRow
    workload: Mapping[str, str]
    precision: str
    detail: TrialDetail = field(default_factory=TrialDetail)
    provenance: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class PageUrls:
    """Where a live page finds things: itself, the self-contained report, the assets, the list of studies."""

    page: str
    report_html: str = ""
    report_json: str = ""
    static: str = "/static"
    index: str = "/"
    devices: str = "/devices"
    refresh_seconds: int = 5
