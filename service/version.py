"""The version of this installation."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Read the distribution's version; "unknown" in a tree that was never installed."""
    try:
        return version("loopfront")
    except PackageNotFoundError:
        return "unknown"
