"""One harvest of the standard library for all tests that need a whole one."""

import pytest

from syneg.corpus import stdlib


@pytest.fixture(scope="session")
def _harvested() -> list[stdlib.Harvested]:
    return list(stdlib.harvest())


@pytest.fixture
def whole_library(_harvested: list[stdlib.Harvested], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib, "harvest", lambda: iter(_harvested))
