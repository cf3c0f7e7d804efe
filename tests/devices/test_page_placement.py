"""A timed process really runs with the allocator's settings, and still finds its program and arguments."""

import os
import subprocess
import sys

from devices.page_placement import malloc_tunables, with_placed_pages

SHOW = "import os, sys; print(os.environ['GLIBC_TUNABLES'], *sys.argv[1:])"


def test_a_command_runs_with_its_arguments_and_the_tunables() -> None:
    command = with_placed_pages([sys.executable, "-c", SHOW, "plan with a space"])
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"{malloc_tunables()} plan with a space"


def test_the_settings_of_this_process_stay_as_they_are() -> None:
    before = os.environ.get("GLIBC_TUNABLES")
    with_placed_pages(["true"])
    assert os.environ.get("GLIBC_TUNABLES") == before
