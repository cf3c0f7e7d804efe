"""How a timed process gets its memory, so that every process places its weights alike."""

from collections.abc import Sequence

# By default each large weight gets a mapping of its own on scattered 4 KB pages until enough of them were freed, and
# where they fall decides how many collide in the caches: one process's paired decode time spreads by 1.5 to 4 %, and
# of two equal models the one loaded first is slower. One heap on huge pages spreads by 0.4 to 1.5 % (six models of
# 60 M, 8 processes each); neither half of it is enough by itself. The medians of both ways agree within about 2 %.
MALLOC_TUNABLES = {
    "glibc.malloc.hugetlb": 1,  # ask for transparent huge pages, where the kernel leaves that to the program
    "glibc.malloc.mmap_threshold": 32 << 20,  # the largest it accepts; a set one no longer adapts
    "glibc.malloc.trim_threshold": 8 << 30,  # what loading frees is used again, not given back
}


def malloc_tunables() -> str:
    """Return the value of GLIBC_TUNABLES; other C libraries ignore it."""
    return ":".join(f"{name}={value}" for name, value in MALLOC_TUNABLES.items())


def with_placed_pages(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` with its pages placed so."""
    return ["env", f"GLIBC_TUNABLES={malloc_tunables()}", *command]
