"""README's table of operators: what follows from the code alone must still be what the code says."""

import pytest

from operators.mixer import Mixer
from tests.benchmarks.operator_speed.operator_table import BEGIN, END, HEAD, README, closed_form
from tests.benchmarks.operator_speed.single_operators import MEASURED


def rows() -> list[list[str]]:
    text = README.read_text()
    lines = text[text.index(BEGIN) : text.index(END)].splitlines()
    assert lines[1] == HEAD, "run make operator-table"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][
        1:
    ]


@pytest.mark.parametrize("mixer", MEASURED, ids=lambda mixer: mixer.name)
def test_the_readmes_closed_forms_are_those_of_the_code(mixer: Mixer) -> None:
    wanted = closed_form(mixer)
    assert [row[: len(wanted)] for row in rows() if row[0] == wanted[0]] == [wanted]


def test_every_row_of_the_readmes_table_was_measured() -> None:
    found = rows()
    assert len(found) == len(MEASURED)
    for row in found:
        assert all(float(number) > 0 for cell in row[5:] for number in cell.split(" / "))
