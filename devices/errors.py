"""The errors that devices raises on purpose.

    DeviceError
    ├── PlanError              a plan or outcome that was read does not have the promised shape
    ├── BuildError             the runner could not be built on this machine
    ├── RuntimeLibraryError    ONNX Runtime's shared library was not found
    ├── SupplyError            what is laid onto devices could not be fetched, or is not what was pinned
    ├── PlatformUnsupported    nothing can be laid onto a device of this kind
    ├── MeasurementStopped     the caller asked for an end before the measurement was done
    ├── QuietLockUnusable      the host's lock file can't be opened
    ├── ConfigUnusable         agent.toml can't be read or names something impossible
    ├── ConnectionFault        a device could not be reached, or a push did not arrive whole
    │   ├── DeviceAway             it is known to be away; who waits for it will see it come
    │   └── HostKeyChanged         an SSH host shows another key than the pinned one
    └── LinkError              the service could not be talked to
        ├── ServiceAway            nobody answered, or with a 5xx: try again later
        ├── ServiceRefused         it answered and said no: trying again would not help
        ├── AgentUnwelcome         it does not talk with this agent at all until somebody has mended that
        │   ├── ProtocolMismatch       agent and service speak different protocols
        │   ├── TokenRefused           the agent shows no token, or a wrong one
        │   └── TokenUnusable          the file that should hold the agent's token doesn't
        ├── BlobDamaged            a blob arrived with another digest: a few more tries may help
        └── LeaseSuperseded        the job was given to someone else with a newer token

A measurement that fails is not an error: it is an `Outcome` (see `devices.outcome`).
"""


class DeviceError(Exception):
    """Any error that devices raises on purpose."""


class PlanError(DeviceError, ValueError):
    """A plan or an outcome that was read does not have the promised shape."""


class BuildError(DeviceError):
    """The runner could not be built on this machine."""


class RuntimeLibraryError(DeviceError):
    """ONNX Runtime's shared library was not found."""


class SupplyError(DeviceError):
    """What is laid onto devices could not be fetched, or is not what was pinned."""


class PlatformUnsupported(DeviceError):
    """Nothing can be laid onto a device of this kind."""


class MeasurementStopped(DeviceError):
    """The caller asked for an end before the measurement was done."""


class QuietLockUnusable(DeviceError):
    """The host's lock file can't be opened."""


class ConfigUnusable(DeviceError):
    """agent.toml can't be read or names something impossible."""


class ConnectionFault(DeviceError):
    """A device could not be reached, or a push did not arrive whole; `log` is what it had printed until then."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class DeviceAway(ConnectionFault):
    """A device is known to be away, such as a phone that is not plugged in; who waits for it will see it come."""


class DeviceNotTaken(DeviceError):
    """The service does not take a device as it was presented."""


class HostKeyChanged(ConnectionFault):
    """An SSH host shows another key than the pinned one."""


class LinkError(DeviceError):
    """The service could not be talked to."""


class ServiceAway(LinkError):
    """Nobody answered, or with a 5xx: try again later."""


class ServiceStumbled(ServiceAway):
    """The service answered, with a fault of its own: something else may go well."""


class ServiceRefused(LinkError):
    """The service answered and said no: trying again would not help."""


class AgentUnwelcome(LinkError):
    """The service does not talk with this agent at all; what is to be handed in waits until that is mended."""


class ProtocolMismatch(AgentUnwelcome):
    """Agent and service speak different protocols; the message says what to install where."""


class TokenRefused(AgentUnwelcome):
    """The agent shows no token, or a wrong one."""


class TokenUnusable(AgentUnwelcome):
    """The file that should hold the agent's token does not."""


class BlobDamaged(LinkError):
    """A blob arrived with another digest: a few more tries may help."""


class LeaseSuperseded(LinkError):
    """The job was given to someone else with a newer token, its result is stored already, or its device was paused."""

    def __init__(self, words: str, is_paused: bool = False) -> None:
        super().__init__(words)
        self.is_paused = is_paused
