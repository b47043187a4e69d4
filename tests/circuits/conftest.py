"""Fixtures that several tests of circuits share."""

import pytest

from qgen.circuits.engine import native


@pytest.fixture(params=("xla", *native.INSTRUCTION_SETS))
def each_engine(request, monkeypatch):
    """Both engines, the compiled one on every instruction set of this processor."""
    if request.param == "xla":
        return "xla"
    monkeypatch.setenv(native.FORCE, request.param)
    try:
        found = native.instruction_set()
    except ValueError as error:
        pytest.skip(str(error))
    if found is None:
        pytest.skip("the compiled engine is not installed (no C++ compiler)")
    return "native"
