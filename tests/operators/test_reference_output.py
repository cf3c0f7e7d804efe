"""The torch side of the output check: what it costs to build."""

import subprocess
import sys

FIRST_CHECK = """
import sys
from operators.lowering import lower
from operators.precision import Precision
from operators.reference_output import expected_logits
from tests.operators.builders import an_architecture

architecture = an_architecture("CASDL")
lowered = lower(architecture, context_capacity=64)
expected_logits(architecture, lowered, Precision(4, 32), 7, [1, 2, 3], [4], [0])
print("torch._dynamo" in sys.modules)
"""


def test_the_first_output_check_of_a_process_does_not_import_torchs_compiler() -> None:
    said = subprocess.run([sys.executable, "-c", FIRST_CHECK], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
