import sys
import threading
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qgen.energy import backends, compiling, counters, meters
from qgen.energy.meters import Energy, Meter, MeterUnavailable, Sample, WindowTooShort

FIELDS = {
    *("energy_j", "energy_low_j", "energy_high_j", "time_s", "compile_time_s", "compile_energy_j", "idle_w", "repeats"),
    *("meter", "provenance", "steal_share", "others_share"),
}


def constant_power(watts, period_s=1e-3, **changes):
    """A meter of known power, so that the answer of every measurement is known."""

    def joules(start, stop, own_share):
        energy = watts * (stop.wall_s - start.wall_s)
        return Energy(energy * own_share, energy, energy)

    settings = {
        "name": "constant",
        "provenance": "MEASURED",
        "boundary": "a test",
        "period_s": period_s,
        "counter": lambda: 0.0,
        "joules": joules,
        "idle_seconds": 0.02,
    }
    return Meter(**{**settings, **changes})


def test_energy_is_power_times_time_per_call():
    meter = constant_power(20.0)
    found = meters.measure(meter, lambda: time.sleep(0.02), min_time_s=0.1)
    assert found.repeats >= 2
    assert found.time_s >= 0.02
    assert found.energy_j == pytest.approx(20.0 * found.time_s)
    assert found.idle_w == pytest.approx(20.0)
    assert set(found.fields()) == FIELDS


def test_result_is_that_of_the_first_call_and_a_short_function_is_repeated():
    calls = []
    found = meters.measure(constant_power(1.0), lambda: calls.append(0) or len(calls))
    assert found.result == 1
    assert found.repeats == len(calls) > 1
    calls.clear()
    warm = meters.measure(constant_power(1.0), lambda: calls.append(0) or len(calls), warm_up=True, repeats=3)
    assert warm.result == 1
    assert warm.repeats == len(calls) - 1 >= 3


def test_importing_a_library_is_not_measured(monkeypatch):
    calls = []

    def solve():
        calls.append(0)
        if len(calls) == 1:
            for i in range(60):
                monkeypatch.setitem(sys.modules, f"qgen_fake_{i}", meters)
            time.sleep(0.2)
        time.sleep(0.02)
        return len(calls)

    found = meters.measure(constant_power(10.0), solve)
    assert found.result == 1
    assert 0.02 <= found.time_s < 0.2
    assert found.energy_j == pytest.approx(10.0 * found.time_s)
    assert len(calls) == found.repeats + 1


def test_a_long_call_runs_once():
    calls = []
    meters.measure(constant_power(1.0), lambda: calls.append(0) or time.sleep(0.03))
    assert len(calls) == 1


def test_compilation_is_reported_apart():
    def solve():
        return jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x) + 0.1234)(jnp.ones((50, 50)))

    found = meters.measure(constant_power(10.0), solve)
    assert 0.001 < found.compile_time_s < 30
    assert found.compile_energy_j >= 10.0 * found.compile_time_s * 0.9
    total_s = found.time_s * found.repeats + found.compile_time_s
    assert found.compile_time_s < total_s
    assert found.energy_j * found.repeats + found.compile_energy_j == pytest.approx(10.0 * total_s, rel=0.05)
    assert found.energy_low_j <= found.energy_j <= found.energy_high_j
    compiled = jax.jit(lambda x: x + 0.987)
    x = jnp.ones(3)
    compiled(x)
    again = meters.measure(constant_power(10.0), lambda: compiled(x))
    assert again.compile_time_s == 0
    assert again.compile_energy_j == 0


def test_warm_up_keeps_compilation_out_of_the_window():
    found = meters.measure(constant_power(10.0), jax.jit(lambda: jnp.arange(7.0) * 0.377), warm_up=True)
    assert found.compile_time_s > found.time_s


def test_a_first_call_that_mostly_compiles_is_not_measured():
    calls = []
    compiled = jax.jit(lambda x: sum(jnp.sin(k * x) for k in range(80)))

    def solve():
        calls.append(0)
        time.sleep(0.01)
        return jax.block_until_ready(compiled(jnp.ones(3))), len(calls)

    found = meters.measure(constant_power(10.0), solve)
    assert found.result[1] == 1 and len(calls) == found.repeats + 1
    assert found.compile_time_s > found.time_s
    assert found.compile_energy_j == pytest.approx(10.0 * found.compile_time_s)
    assert found.energy_j == pytest.approx(10.0 * found.time_s)


def test_nested_events_count_once():
    watch = compiling.Watch()
    watch._entered = 0.0
    watch.add(2.0, 1.0)
    watch.add(3.0, 2.5)  # contains the first
    watch.add(5.0, 1.0)
    assert watch.seconds == pytest.approx(3.5)
    watch.add(6.0, 100.0)  # began before the watch
    assert watch.seconds == pytest.approx(6.0)


def test_the_result_is_waited_for():
    big = jnp.ones((400, 400))
    slow = jax.jit(lambda x: jax.lax.fori_loop(0, 50, lambda _, y: jnp.tanh(y @ x), x))
    slow(big)
    start = time.perf_counter()
    slow(big).block_until_ready()
    blocked = time.perf_counter() - start
    found = meters.measure(constant_power(1.0), lambda: slow(big))
    assert found.time_s > 0.2 * blocked


def test_window_too_short_is_an_error():
    with pytest.raises(WindowTooShort, match=r"updates every 0.5 s: a window must be at least 5.0 s"):
        meters.measure(constant_power(1.0, period_s=0.5, _idle_w=0.0), lambda: None, max_repeats=3)


@pytest.mark.parametrize(("name", "value"), [("min_time_s", -1.0), ("repeats", 0), ("max_repeats", 0)])
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        meters.measure(constant_power(1.0), lambda: None, **{name: value})


def test_a_counter_that_stands_still_is_an_error():
    with pytest.raises(MeterUnavailable, match="it is not working"):
        meters.measure(constant_power(0.0), lambda: None)


def test_others_work_and_stolen_time_widen_the_interval(monkeypatch):
    ticks = iter([(0.0, 0.0, 0.0), (1e9, 4e9, 10e9)])
    monkeypatch.setattr(meters, "machine_ticks", lambda: next(ticks))
    found = meters.measure(constant_power(10.0), lambda: time.sleep(0.02))
    assert found.steal_share == pytest.approx(0.4)
    assert found.others_share == pytest.approx(1.0, abs=1e-6)
    assert found.energy_low_j < 1e-3 * found.energy_j
    assert found.energy_high_j == pytest.approx(1.4 * found.energy_j, rel=1e-3)


def test_shares():
    assert meters.shares(None, (1.0, 1.0, 1.0), 0.5) == (0.0, 0.0)
    steal, others = meters.shares((0.0, 0.0, 0.0), (3.0, 1.0, 10.0), 1.2)
    assert steal == pytest.approx(0.1)
    assert others == pytest.approx(0.6)


def test_modelled_meter_follows_its_formula():
    meter = backends.modelled(threads=4)
    energy = meter.joules(Sample(10.0, 5.0, 2.0), Sample(13.0, 6.5, 3.0), 0.25)
    assert energy.central_j == pytest.approx(1.5 * 2.5 + 3 * (4 * 0.7 + 3 * 0.35))
    assert energy.low_j == pytest.approx(1.5 * 1.2 + 0.25 * 3 * (4 * 0.4 + 3 * 0.28))
    assert energy.high_j == pytest.approx(1.5 * 6.0 + 3 * (4 * 3.7 + 3 * 0.85))
    assert meter.provenance == "MODELLED"


def test_modelled_meter_sees_the_work_of_this_process():
    def work():
        stop = time.process_time() + 0.15
        while time.process_time() < stop:
            pass

    meter = meters.open_meter("modelled")
    busy = meters.measure(meter, work)
    rest = meters.measure(meter, lambda: time.sleep(0.15))
    assert busy.energy_j == pytest.approx(2.5 * 0.15 + busy.idle_w * busy.time_s, rel=0.3)
    assert rest.energy_j == pytest.approx(rest.idle_w * rest.time_s, rel=0.3)
    assert busy.energy_low_j < busy.energy_j < busy.energy_high_j


def fake_rapl(root, spans=(10_000_000, 5_000_000)):
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "dram", "intel-rapl:0:1": "core", "intel-rapl:1": "psys"}
    for zone, label in zones.items():
        (root / zone).mkdir(parents=True)
        (root / zone / "name").write_text(label + "\n")
        (root / zone / "max_energy_range_uj").write_text(str(spans[0] if label == "package-0" else spans[1]))
        (root / zone / "energy_uj").write_text("4000000")
    return root


def test_rapl_adds_package_and_memory_through_wraparound(tmp_path):
    root = fake_rapl(tmp_path)
    meter = backends.rapl(root)
    first = meter.counter()
    (root / "intel-rapl:0" / "energy_uj").write_text("9000000")
    (root / "intel-rapl:0:1" / "energy_uj").write_text("7777777")  # contained in the package
    (root / "intel-rapl:1" / "energy_uj").write_text("8888888")  # contains the package
    assert meter.counter() - first == pytest.approx(5.0)
    (root / "intel-rapl:0" / "energy_uj").write_text("1000000")  # 1 J to the end, 1 J after it
    (root / "intel-rapl:0:0" / "energy_uj").write_text("500000")
    assert meter.counter() - first == pytest.approx(5.0 + 2.0 + 1.5)
    assert meter.provenance == "MEASURED"
    energy = meter.energy(Sample(0.0, 0.0, 1.0), Sample(2.0, 0.0, 5.0))
    assert energy.low_j < 4.0 < energy.high_j


def test_rapl_is_polled_during_a_long_call(tmp_path):
    root = fake_rapl(tmp_path)
    meter = backends.rapl(root)
    meter.poll_s, meter._idle_w = 0.01, 0.0

    def wrap_twice():
        for value in (9_000_000, 2_000_000, 9_000_000, 2_000_000):
            fresh = tmp_path / "fresh"
            fresh.write_text(str(value))
            fresh.replace(root / "intel-rapl:0" / "energy_uj")  # at once, as the kernel does
            time.sleep(0.1)

    found = meters.measure(meter, wrap_twice)
    assert found.energy_j == pytest.approx(5 + 3 + 7 + 3)
    assert threading.active_count() < 50


def test_rapl_errors(tmp_path, monkeypatch):
    with pytest.raises(MeterUnavailable, match='open the meter "modelled"'):
        backends.rapl(tmp_path / "nothing")
    root = fake_rapl(tmp_path)
    real = type(root).read_text

    def guarded(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError
        return real(path, *args, **kwargs)

    monkeypatch.setattr(type(root), "read_text", guarded)
    with pytest.raises(MeterUnavailable, match="readable by root only"):
        backends.rapl(root)


class FakeNvml:
    class NVMLError(Exception):
        pass

    def __init__(self, count=2, broken=False):
        self.count, self.broken, self.joules = count, broken, 100.0

    def nvmlInit(self):
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return 1000 * (handle + 1) * self.joules


def test_nvml_sums_the_visible_boards(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    library = FakeNvml()
    both = backends.nvml(library)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    second = backends.nvml(library)
    for meter, factor in ((both, 3), (second, 2)):
        before = meter.counter()
        library.joules += 7.0
        assert meter.counter() - before == pytest.approx(7.0 * factor)
    assert both.min_window_s == pytest.approx(1.0)
    assert not both.sees_cpu


def test_nvml_errors(monkeypatch):
    with pytest.raises(MeterUnavailable, match=r"Driver Not Loaded.*Volta"):
        backends.nvml(FakeNvml(broken=True))
    with pytest.raises(MeterUnavailable, match="no GPU that this process may use"):
        backends.nvml(FakeNvml(count=0))
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    with pytest.raises(MeterUnavailable, match="pip install nvidia-ml-py"):
        backends.nvml()


class FakeZeus:
    def __init__(self, **parts):
        self.parts = {"gpu_energy": None, "cpu_energy": None, "dram_energy": None, **parts}

    def begin_window(self, name):
        self.open = name

    def end_window(self, name):
        assert self.open == name
        return SimpleNamespace(**self.parts)


def test_zeus_adds_what_it_sees_and_never_reads_zero():
    meter = backends.zeus(FakeZeus(gpu_energy={0: 2.0, 1: 3.0}, cpu_energy={0: 1.5}))
    first = meter.counter()
    assert meter.counter() - first == pytest.approx(6.5)
    with pytest.raises(MeterUnavailable, match="sees no energy counter"):
        backends.zeus(FakeZeus())


def test_zeus_missing_names_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zeus.monitor", None)
    with pytest.raises(MeterUnavailable, match=r"pip install \"qgen\[zeus\]\""):
        meters.open_meter("zeus")


def test_combined_adds_and_has_the_weakest_provenance():
    one, two = constant_power(3.0), constant_power(4.0, provenance="MODELLED", period_s=2e-3)
    both = counters.combined(one, two)
    assert both.provenance == "MODELLED"
    assert both.period_s == 2e-3
    found = meters.measure(both, lambda: time.sleep(0.03))
    assert found.energy_j == pytest.approx(7.0 * found.time_s)


def test_compiling_is_not_charged_with_the_work_of_an_accelerator():
    """A board of 100 W that draws 900 W in its kernel, beside a host of 20 W: the kernel's joules belong to the run."""
    start_s, busy = time.perf_counter(), []

    def joules(start, stop, own_share):
        energy = stop.counter - start.counter
        return Energy(energy, energy, energy)

    board = constant_power(
        0.0, counter=lambda: 100 * (time.perf_counter() - start_s) + 800 * sum(busy), joules=joules, sees_cpu=False
    )
    # Given and not watched: on a loaded machine a moment can pass between the two clocks of a short watch.
    board._idle_w = 100.0
    both = counters.combined(board, constant_power(20.0, _idle_w=20.0))

    def compile_and_run():
        jax.block_until_ready(jax.jit(lambda x: sum(jnp.sin(k * x) for k in range(60)))(jnp.ones(3)))
        start = time.perf_counter()
        time.sleep(0.05)
        busy.append(time.perf_counter() - start)

    found = meters.measure(both, compile_and_run, repeats=2)
    assert found.idle_w == pytest.approx(120.0)
    assert found.compile_time_s > 0.02
    assert found.compile_energy_j == pytest.approx(found.idle_w * found.compile_time_s, rel=0.02)
    expected = 120.0 * found.time_s + 800 * np.mean(busy[-found.repeats :])
    assert found.energy_j == pytest.approx(expected, rel=0.05)


def test_auto_never_measures_a_gpu_that_it_cannot_see(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")

    def absent():
        raise MeterUnavailable("none")

    monkeypatch.setattr(backends, "nvml", absent)
    with pytest.raises(MeterUnavailable, match="GPU whose energy counter cannot be read"):
        meters.open_meter("auto")
    monkeypatch.setattr(backends, "nvml", lambda: constant_power(1.0))
    assert meters.open_meter("auto").name.startswith("constant+")


def test_open_meter_refuses_unknown_names():
    with pytest.raises(ValueError, match="`name` must be one of: auto, nvml"):
        meters.open_meter("nmvl")
    assert meters.open_meter("auto").name in ("rapl", "modelled")
    assert dict(meters.available())["modelled"].name == "modelled"


def test_measuring_costs_less_than_a_hundredth_of_five_seconds():
    meter = meters.open_meter("modelled")
    meter.idle_w()
    start = time.perf_counter()
    found = meters.measure(meter, lambda: None, min_time_s=0.2)
    outside = time.perf_counter() - start - found.time_s * found.repeats
    assert outside + found.time_s < 0.01 * 5.0, "on an unloaded machine it is 0.1 ms"


def test_energy_bounds_are_ordered():
    joules = backends._counter_joules(0.05, 0.1)
    energy = joules(Sample(0.0, 0.0, 0.0), Sample(1.0, 0.0, 100.0), 1.0)
    assert energy == Energy(pytest.approx(75.0), 100.0, pytest.approx(125.0))
    np.testing.assert_array_less(energy.low_j, energy.high_j)
