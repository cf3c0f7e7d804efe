"""Errors of the service folder, each with what a caller needs to mend it.

ServiceError                  code, status, detail, field, hint
├── BadInput                  422  a value can't be used; field names the place
│   └── StudyFileError        422  a study file can't be used
├── NotFound                  404  no such study, trial, job, device, agent, blob
├── BlobDamaged               410  a stored blob no longer has the content that its name promises
├── Conflict                  409  the request contradicts what is stored
│   ├── ResultRefused         409  a newer token was granted, or a result is stored already
│   └── LeadLost              409  another process leads the study now
├── ProtocolMismatch          426  an agent speaks another protocol
├── NotAuthorised             401  no token is shown, or a wrong one
├── Forbidden                 403  the token that is shown may not do this
├── TooManyFailures           429  too many wrong tokens came from one address
├── TooLarge                  413  a body is over its limit
├── StorageTrouble            503  nothing can be stored or read now
│   └── StorageFull           507  the disk of the data folder is full
├── ServiceUnreachable        503  the client can't reach the service
└── StartRefused              500  `loopfront up` can't start: port, lock, disk, compiler
"""


class ServiceError(Exception):
    """Base: one line for people, a stable code for programs."""

    status = 500
    code = "internal"
    title = "Something went wrong in the service"

    def __init__(self, detail: str, *, field: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.hint = hint
        self.code = code or type(self).code

    @property
    def line(self) -> str:
        """The whole message in one line, as the CLI prints it."""
        text = f"{self.field}: {self.detail}" if self.field else self.detail
        return f"{text}; {self.hint}" if self.hint else text


class BadInput(ServiceError):
    """A value that was given can't be used."""

    status = 422
    code = "bad-input"
    title = "A value can't be used"


class StudyFileError(BadInput):
    """A study file can't be used."""

    code = "study-file"
    title = "The study file can't be used"


class NotFound(ServiceError):
    """What was asked for doesn't exist."""

    status = 404
    code = "not-found"
    title = "Not found"


class BlobDamaged(ServiceError):
    """A stored blob no longer has the content that its name promises."""

    status = 410
    code = "blob-damaged"
    title = "A stored file is damaged"


class Conflict(ServiceError):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"
    title = "Contradicts what is stored"


class ResultRefused(Conflict):
    """A result came under a token that no longer counts; it is kept as evidence."""

    code = "superseded"
    title = "The result was kept as evidence and not counted"


class LeadLost(Conflict):
    """Another process leads what this one was leading; what it wrote since is not kept."""

    code = "lead-lost"
    title = "Another process leads this now"


class ProtocolMismatch(ServiceError):
    """An agent speaks another version of the protocol."""

    status = 426
    code = "protocol-mismatch"
    title = "The agent and the service speak different protocols"


class NotAuthorised(ServiceError):
    """No token is shown, or a wrong one."""

    status = 401
    code = "not-authorised"
    title = "The token is missing or wrong"


class Forbidden(ServiceError):
    """The token that is shown may not do this."""

    status = 403
    code = "forbidden"
    title = "This token may not do that"


class TooManyFailures(ServiceError):
    """Too many wrong tokens came from one address."""

    status = 429
    code = "too-many-failures"
    title = "Too many wrong tokens"


class TooLarge(ServiceError):
    """A body is over its limit."""

    status = 413
    code = "too-large"
    title = "The body is too large"


class StorageTrouble(ServiceError):
    """Nothing can be stored or read now; later it may go well."""

    status = 503
    code = "storage-trouble"
    title = "What is stored can't be reached now"


class StorageFull(StorageTrouble):
    """The disk of the data folder is full."""

    status = 507
    code = "storage-full"
    title = "No space is left for the data folder"


class ServiceUnreachable(ServiceError):
    """The client can't reach the service."""

    status = 503
    code = "unreachable"
    title = "The service can't be reached"


class StartRefused(ServiceError):
    """`loopfront up` can't start."""

    code = "start-refused"
    title = "The service can't start"
