import pytest

from syneg.stage import Inputs
from tests.unit.mix import sample


@pytest.fixture
def inputs() -> Inputs:
    return sample.inputs()
