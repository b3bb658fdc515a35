"""The classes of faults."""

from __future__ import annotations

import pytest

from deepen.core import errors
from deepen.core.faults import Fault


@pytest.mark.parametrize("name", ["OptionError", "ShapeError", "RunError", "TrainingError", "FileError", "DataError"])
def test_every_fault_of_a_user_is_a_deepen_error(name):
    fault = getattr(errors, name)("photos/: no such folder.")
    assert isinstance(fault, errors.DeepenError) and str(fault) == "photos/: no such folder."


def test_a_data_error_carries_its_faults():
    fault = Fault("error", "empty", "photos", "0 images.")
    assert errors.DataError("x", [fault]).faults == (fault,)
    assert errors.DataError("x").faults == ()


def test_exit_codes():
    codes = errors.EXIT_DONE, errors.EXIT_OURS, errors.EXIT_USER, errors.EXIT_INTERRUPTED, errors.EXIT_TERMINATED
    assert codes == (0, 1, 2, 128 + 2, 128 + 15)
