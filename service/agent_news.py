"""What is wrong with the service's own agent, for the health check and the pages."""

from dataclasses import dataclass


@dataclass
class AgentNews:
    """One per process: written by whoever keeps the agent running, read by requests; "" while all is well."""

    trouble: str = ""
