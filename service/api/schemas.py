"""The shapes of requests and answers at the REST border."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from devices.device_name import FORM, LONGEST
from devices.plan import Profile
from devices.untrusted_text import visible_line
from service.device_result import require_bounded_facts
from service.workloads import Contexts

Name = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=FORM)]
Line = Annotated[str, AfterValidator(visible_line)]
"""A text of somebody else's that is shown in terminals and on pages."""
Identity = Annotated[str, Field(min_length=1, max_length=200)]
ShortText = Annotated[str, Field(max_length=4000)]
Facts = Annotated[dict[str, Any], Field(max_length=256), AfterValidator(require_bounded_facts)]
Layout = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]+$")]


class Given(BaseModel):
    """A request body: nothing unknown, nothing that isn't a number."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(from_attributes=True)


class DeviceRegistration(Given):
    """What an agent says of a device."""

    identity: Identity
    name: Name
    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
    labels: dict[Line, Line] = Field(default_factory=dict, max_length=64)
    facts: Facts = Field(default_factory=dict)


class AgentRegistration(Given):
    """An agent and all devices it can reach now."""

    name: Name
    identity: Identity
    devices: list[DeviceRegistration] = Field(max_length=1000)
    is_start: bool = True
    """False where the agent only tells of another device: what it measures meanwhile goes on."""


class AgentEnrolment(Given):
    """An agent that wants a token of its own, with the code that an owner gave it."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    name: Name
    identity: Identity


class AgentEnrolled(Answer):
    """The id under which an agent is known, and its token, which is shown this once."""

    agent_id: str
    token: str


class DeviceKnown(Answer):
    """The id under which a device is known."""

    device_id: str
    identity: str
    name: str


class AgentRegistered(Answer):
    """The id under which an agent is known."""

    agent_id: str
    devices: list[DeviceKnown]


StationState = Literal["ready", "resting", "unopened", "key_changed"]


class StationGiven(Given):
    """How an agent stands to one of its devices; whatever it says is shown, so it is kept short."""

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
    identity: Identity | None = None
    state: StationState
    words: Annotated[Line, Field(max_length=1000)] = ""


class StationsGiven(Given):
    """Every device that an agent knows."""

    stations: list[StationGiven] = Field(max_length=1000)


class ExaminationGiven(Given):
    """What examining a device on its lab host came to."""

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    identity: Identity | None = None
    passed: bool
    words: Annotated[Line, Field(max_length=1000)] = ""


class ExaminationsGiven(Given):
    """All that was examined on a lab host."""

    agent_identity: Identity
    examinations: list[ExaminationGiven] = Field(max_length=1000)


class ExaminationNoted(Answer):
    """The registered device that an examination was of, and whether it ended its quarantine."""

    name: str
    device: str | None
    is_lifted: bool


class HeldLease(Given):
    """A lease that an agent is measuring under."""

    job_id: Annotated[str, Field(max_length=100)]
    token: int = Field(ge=1, le=2**31 - 1)


class LeaseWish(Given):
    """Devices that have room for a job, what is under way there, and how long the agent is ready to wait."""

    device_ids: list[Annotated[str, Field(max_length=100)]] = Field(min_length=1, max_length=1000)
    held: list[HeldLease] = Field(default_factory=list, max_length=1000)
    wait_s: float = Field(default=0.0, ge=0.0, le=20.0)


class LeaseGranted(Answer):
    """A job, and the token under which its result counts."""

    job_id: str
    device_id: str
    token: int
    expires_in_s: float
    heartbeat_s: float
    plan: dict[str, Any]


class Heartbeat(Given):
    """A sign of life for a lease."""

    token: int = Field(ge=1, le=2**31 - 1)


class LeaseExtended(Answer):
    """How long the lease lives from now."""

    expires_in_s: float


class JobResult(Given):
    """What became of a job."""

    token: int = Field(ge=1, le=2**31 - 1)
    outcome: dict[str, Any]


class Release(Given):
    """A job given back unmeasured."""

    token: int = Field(ge=1, le=2**31 - 1)
    reason: ShortText = ""


class Stored(Answer):
    """An acknowledgement."""

    stored: bool


class AttemptOut(Answer):
    """One grant of a job's lease, and how it ended with the log of what ran.

    `ended_by` is "result", "released" or "expired", and "" while it lasts; `outcome` is a result's kind. A result that
    came when the job had been granted anew doesn't count: `late_outcome` is its kind. `target` is a trial's.
    """

    id: str
    job_id: str
    token: int
    purpose: str
    study: str
    target: str
    round: int
    device: str
    agent: str
    granted_at: datetime
    ended_at: datetime | None
    ended_by: str
    outcome: str
    late_outcome: str
    reason: str
    log: str


class JobLog(Answer):
    """Every attempt of a job."""

    job_id: str
    state: str
    outcome: str
    detail: str
    attempts: list[AttemptOut]
    refused: int


class DeviceOut(Answer):
    """A device, whether it may be measured now, and what mends it where not.

    `state` is one of idle, measuring, resting, paused, quarantined, away, unopened; `reason` and `hint` say why and
    what to type. `log_job_id` names the job whose log belongs to a quarantine.
    """

    id: str
    name: str
    kind: str
    labels: dict[str, str]
    facts: dict[str, Any]
    agent: str
    last_seen_at: datetime
    online: bool
    state: str
    reason: str
    hint: str
    last_measured_at: datetime | None
    examined_at: datetime | None
    examination: str
    log_job_id: str | None


class StationOut(Answer):
    """A device that an agent knows and that never was registered, because it can't be opened."""

    name: str
    kind: str
    agent: str
    state: str
    reason: str
    hint: str


class PauseGiven(Given):
    """Why a device is not to be measured for a while."""

    reason: Annotated[Line, Field(max_length=200)] = ""


class QuarantineGiven(Given):
    """Why nothing of a device is to be trusted."""

    reason: Annotated[Line, Field(min_length=1, max_length=200)]


class SentinelOut(Answer):
    """The sentinel's medians within one measurement; `calibration_id` where that was a calibration."""

    measurement_id: str
    measured_at: datetime
    prefill_ms: float
    decode_ms: float
    calibration_id: str | None


class AgentOut(Answer):
    """An agent, when it was last heard of, and the devices that it serves."""

    id: str
    name: str
    created_at: datetime
    last_seen_at: datetime
    online: bool
    devices: list[str]


class LabelsGiven(Given):
    """Labels to set over those of the agent; null takes one away."""

    labels: dict[
        Annotated[Line, Field(min_length=1, max_length=100)], Annotated[Line, Field(max_length=200)] | None
    ] = Field(max_length=64)


class StudyOut(Answer):
    """A study, with its progress as `reports.rows.ProgressRow` writes it."""

    id: str
    name: str
    state: str
    detail: str
    priority: int
    device_minutes: float
    device_minutes_wanted: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    document_digest: str
    progress: dict[str, Any]
    page: str
    report: str


class StudySummary(Answer):
    """A study as a list shows it; trials are counted without references."""

    id: str
    name: str
    state: str
    detail: str
    priority: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trials_wanted: int
    trials_done: int
    trials_failed: int
    front_size: int
    document_digest: str
    page: str


class StudyPage(Answer):
    """Studies, newest first; `next_cursor` asks for those behind them, null at the end."""

    items: list[StudySummary]
    next_cursor: str | None


class SpaceSize(Answer):
    """How much there is to search: widths that meet the budget, depths, and at most so many architectures."""

    widths: list[int]
    depths: list[int]
    dimensions: dict[str, str]
    architectures_at_most: float


class ExampleCandidate(Answer):
    """One candidate of the space, drawn as a study's first ones are."""

    layout: str
    hidden_size: int
    parameters: int
    embedding_ratio: float


class TargetForecast(Answer):
    """What one target's device will be busy with, as a band; `based_on` says what the estimate stands on."""

    target: str
    device: str
    device_minutes_low: float
    device_minutes_high: float
    waiting_studies: int
    based_on: str


class Forecast(Answer):
    """How long a study would take from now: alone on its devices, and sharing them with the studies that are active."""

    targets: list[TargetForecast]
    device_minutes_low: float
    device_minutes_high: float
    ends_at_earliest: datetime
    ends_at_latest: datetime


class StudyValid(Answer):
    """What a valid study file means, without submitting it."""

    name: str
    document: dict[str, Any]
    document_digest: str
    trials: int
    references: dict[str, str]
    space: SpaceSize
    example: ExampleCandidate
    forecast: Forecast


class StudyClone(Given):
    """A new study like another: its name, and a JSON merge patch (RFC 7396) of the other's document."""

    study: Annotated[str, Field(min_length=1, max_length=100)]
    changes: dict[str, Any] = Field(default_factory=dict, max_length=100)


class StudyExtension(Given):
    """By how much a study is to go on."""

    trials: int = Field(default=0, ge=0, le=100_000)
    device_minutes: float = Field(default=0.0, ge=0.0, le=1e6)


class StudyChange(Given):
    """What of a study may change while it runs: its priority, the highest first on a device."""

    priority: int = Field(ge=-100, le=100)


class StudyDeleted(Answer):
    """What is gone."""

    name: str
    trials: int


class CandidatesGiven(Given):
    """Known layouts, or whole architectures, to run in a study."""

    layouts: list[Layout] = Field(default_factory=list, max_length=200)
    architectures: list[dict[str, Any]] = Field(default_factory=list, max_length=200)


class CandidatesQueued(Answer):
    """The trials that were made of them."""

    numbers: list[int]


class RepeatsGiven(Given):
    """How many finished candidates to measure again."""

    count: int = Field(default=12, ge=2, le=200)


class ObservationOut(Answer):
    """A number with its 95 % interval; `raw` beside a paired time."""

    value: float
    low: float
    high: float
    raw: float | None = None


class TrialOut(Answer):
    """One trial and its values."""

    number: int
    kind: str
    label: str
    state: str
    layout: str
    candidate_digest: str
    outcome: str
    detail: str
    observations: dict[str, ObservationOut]
    hypervolume: float | None
    work_seconds: float
    created_at: datetime
    finished_at: datetime | None


class AnswerOut(Answer):
    """The measurement of a trial on one target, with every raw sample and its passport."""

    target: str
    round: int
    job_id: str | None
    measurement_id: str | None
    reused: bool
    outcome: dict[str, Any] | None


class TrialPage(Answer):
    """Trials by number; `next_cursor` asks for those behind them, null at the end."""

    items: list[TrialOut]
    next_cursor: str | None


class QualityGiven(Given):
    """A quality value that was found elsewhere: its 95 % interval, which way is better, and where it is from."""

    value: float
    low: float | None = None
    high: float | None = None
    direction: Literal["minimize", "maximize"]
    source: Annotated[str, Field(min_length=1, max_length=500)]


class ExternalQualityOut(Answer):
    """A quality value that a user posted; Loopfront has not checked it."""

    metric: str
    direction: str
    value: float
    low: float
    high: float
    source: str
    posted_at: datetime


class TrialDetailOut(TrialOut):
    """Everything that is known of a trial."""

    parameters: dict[str, Any]
    architecture: dict[str, Any]
    measurements: list[AnswerOut]
    external_quality: list[ExternalQualityOut]


class ObjectiveOut(Answer):
    """One axis of a front."""

    name: str
    unit: str
    direction: str


class FrontOut(Answer):
    """The Pareto front of the measured trials that meet the constraints.

    Where none does there is no front, and `closest` holds the least violating trials.
    """

    objectives: list[ObjectiveOut]
    feasible: bool
    knee: int | None
    reference_point: list[float] | None
    reference_point_is_frozen: bool
    hypervolume: float | None
    trials: list[TrialOut]
    closest: list[TrialOut]


class WorkloadGiven(Given):
    """How the model is used; four different numbers of tokens."""

    prompt_tokens: int = Field(default=256, ge=1, le=32768)
    context_tokens: Contexts = 512
    generate_tokens: int = Field(default=64, ge=1, le=4096)
    batch: int = Field(default=1, ge=1, le=8)
    threads: int = Field(default=1, ge=1, le=256)


class MeasuringGiven(Given):
    """How it is measured: `lab` keeps to the fastest cores; the 95 % interval aimed at, as a share of the value."""

    profile: Profile = "as-shipped"
    half_width: float = Field(default=0.04, ge=0.01, le=0.2)


class PrecisionGiven(Given):
    """How weights are stored."""

    bits: int = Field(default=4, ge=0, le=1024)
    block_size: int = Field(default=32, ge=0, le=1024)


class MeasurementWish(Given):
    """One architecture to measure: a reference's name, a layout with its scale, or a whole architecture."""

    reference: Annotated[str, Field(max_length=100)] = ""
    layout: Annotated[str, Field(max_length=128)] = ""
    architecture: dict[str, Any] | None = None
    parameters: Annotated[int, Field(ge=1_000_000, le=4_000_000_000)] | None = None
    vocabulary: Annotated[int, Field(ge=256, le=300_000)] | None = None
    embedding_ratio: float | None = Field(default=None, gt=0.0, lt=1.0)
    device: Name = "local"
    workload: WorkloadGiven = Field(default_factory=WorkloadGiven)
    precision: PrecisionGiven = Field(default_factory=PrecisionGiven)
    measuring: MeasuringGiven = Field(default_factory=MeasuringGiven)
    fresh: bool = False


class MeasurementOut(Answer):
    """How far a single measurement is, and its report as `reports.rows.MeasurementReport` writes it."""

    id: str
    state: str
    detail: str
    layout: str
    device: str
    step: str
    created_at: datetime
    finished_at: datetime | None
    report: dict[str, Any] | None


class ProfileWish(Given):
    """What of a device to profile: mixers at a width, the depths of decode, whole shapes; `again` measures anew."""

    width: int = Field(default=1024, ge=128, le=4096, multiple_of=128)
    prompt_tokens: int = Field(default=512, ge=16, le=8192)
    contexts: list[Annotated[int, Field(ge=256, le=65536)]] = Field(
        default=[512, 4096, 32768], min_length=1, max_length=6
    )
    mixers: list[Annotated[str, Field(max_length=100)]] | None = Field(default=None, max_length=20)
    """All, unless some are named; ratios need short_conv."""
    shapes: list[Annotated[str, Field(max_length=100)]] = Field(
        default=["lfm2-350m", "gemma-3-270m", "qwen3-0.6b", "qwen3.5-0.8b"], max_length=20
    )
    threads: int = Field(default=1, ge=1, le=256)
    again: bool = False


class ProfileOut(Answer):
    """How far a profile is, and its report as `reports.profile_rows.ProfileReport` writes it."""

    id: str
    device: str
    state: str
    detail: str
    step: str
    entries_done: int
    entries_total: int
    seconds_left: float | None
    created_at: datetime
    finished_at: datetime | None
    page: str
    report: dict[str, Any]


UserScope = Literal["viewer", "submitter", "device-owner", "admin"]


class TokenGiven(Given):
    """A token to make: for whom, what it may, and after how many days it ends (null: never)."""

    name: Name
    scopes: list[UserScope] = Field(min_length=1, max_length=4)
    days: float | None = Field(default=90.0, gt=0.0, le=3650.0)


class TokenOut(Answer):
    """A token, without the token."""

    id: str
    name: str
    kind: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    used_up_at: datetime | None
    revoked_at: datetime | None


class TokenMade(TokenOut):
    """A token that was made just now; nobody can read it again."""

    token: str


class EnrolmentMade(Answer):
    """A code with which one agent may enrol."""

    code: str
    expires_in_s: float


class LinkMade(Answer):
    """The path of a link that logs a browser in once."""

    path: str
    expires_in_s: float


class AuditLine(Answer):
    """Who asked for what, when, from where, and the status that it was answered with."""

    number: int
    at: datetime
    actor: str
    token_id: str
    action: str
    subject: str
    status: int
    address: str
    hash: str


class AuditPage(Answer):
    """Lines, the newest first; `next_cursor` asks for those before them, null at the end."""

    items: list[AuditLine]
    next_cursor: str | None


class AuditVerified(Answer):
    """Whether every line is as it was written; `head` is the newest line's hash."""

    intact: bool
    lines: int
    head: str
    first_broken: int | None


class VersionOut(Answer):
    """Which service this is."""

    version: str
    protocol: str


class Ready(Answer):
    """Whether the service can take work now; `troubles` say what keeps it from that."""

    ready: bool
    troubles: list[str]


class Health(Answer):
    """Whether the service works, and what keeps work from going on, such as a full disk ("" while all is well)."""

    status: str
    trouble: str = ""


WebhookKind = Literal["study.finished", "study.failed", "device.quarantined"]


class WebhookGiven(Given):
    """Where to send what."""

    url: Annotated[str, Field(min_length=1, max_length=500)]
    kinds: list[WebhookKind] = Field(min_length=1, max_length=3)


class WebhookOut(Answer):
    """A webhook and how its last request was answered; one that was given up is told nothing more."""

    id: str
    url: str
    kinds: list[str]
    created_by: str
    created_at: datetime
    failures: int
    last_answer: str
    last_at: datetime | None
    given_up_at: datetime | None


class WebhookMade(WebhookOut):
    """A webhook that was made just now; nobody can read its secret again."""

    secret: str


class WebhookTested(Answer):
    """Whether a test message was taken, and in words how it was answered."""

    told: bool
    answer: str
