"""What measuring costs."""

import pytest

from qgen.energy import meters, overhead


def test_measuring_has_a_share_that_shrinks_with_the_call():
    found = overhead.Overhead(window_s=0.002, call_s=1e-6)
    assert found.share(5.0) == pytest.approx((0.002 + 1e-6) / 5)
    assert found.share(1e-3) == pytest.approx((0.002 + 0.005) / 5)
    real = overhead.overhead(meters.open_meter("modelled"), 2)
    assert real.window_s >= 0 and real.call_s > 0
