import pytest

from qgen.report import draws


@pytest.fixture
def building(monkeypatch):
    """A data centre whose facility factor is known: 1.25."""
    monkeypatch.setattr(draws, "FACILITY", (1.25, 1.25, 1.25))
    draws.joint.cache_clear()
    yield 1.25
    draws.joint.cache_clear()
