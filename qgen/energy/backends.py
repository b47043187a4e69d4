"""The back-ends of `meters`: one function per sensor that opens it as a Meter, and the modelled one."""

import os
import resource
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from qgen import check
from qgen.energy.counters import Energy, Meter, MeterUnavailable, Sample, combined
from qgen.energy.ranges import Range

TICK_S = 0.01
"""The kernel counts CPU and stolen time of the machine in ticks of this length."""
RAPL_ROOT = Path("/sys/class/powercap")
RAPL_POLL_S = 30.0
"""A package counter wraps after some minutes at full power; reading it this often misses no wrap."""
NVML_PERIOD_S = 0.1
NVML_ERROR = 0.05
RAPL_ERROR = 0.05
"""Relative error of the counters themselves: NVML after arXiv 2312.02741; RAPL a few per cent on current processors."""

_CCF = "Cloud Carbon Footprint coefficients (SPECpower to 2026-03), watts per hardware thread, whole server"
ACTIVE_W = Range(1.2, 2.5, 6.0, "W", f"{_CCF}: above idle, range over server generations", "C")
IDLE_W = Range(0.4, 0.7, 3.7, "W", f"{_CCF}: at idle", "C")
RAM_W_PER_GB = Range(0.28, 0.35, 0.85, "W/GB", "Boavizta 0.284, Cloud Carbon Footprint 0.392 W/GB", "C")


def open_meter(name: str = "auto") -> Meter:
    """Opens a meter.

    Args:
        name: "nvml" (NVIDIA GPUs), "rapl" (CPU package and memory of Linux), "zeus" (AMD GPUs and others, needs the
            extra), "modelled" (CPU time and memory times published watts, always there), or "auto": the accelerator
            that JAX uses where it has a counter, plus the processor by RAPL, or modelled where RAPL cannot be read. The
            provenance of such a sum is that of its weakest part.

    Raises:
        ValueError: for an unknown name.
        MeterUnavailable: if the sensor cannot be read here.
    """
    check.one_of("name", name, ("auto", *METERS))
    if name != "auto":
        return METERS[name]()
    try:
        host = rapl()
    except MeterUnavailable:
        host = modelled()
    if jax.default_backend() != "gpu":
        return host
    try:
        return combined(nvml(), host)
    except MeterUnavailable:
        raise MeterUnavailable(
            "JAX computes on a GPU whose energy counter cannot be read. For an NVIDIA GPU check that the driver "
            'exposes NVML; for another one install zeus (`pip install "qgen[zeus]"`) and open the meter "zeus".'
        ) from None


def modelled(threads: int | None = None) -> Meter:
    """E = cpu_s * P_active + wall_s * (threads * P_idle + GB * p_ram), with the ranges at the top of this file.

    Args:
        threads: hardware threads whose idle power is ours; by default those this process may use.
    """
    count = threads or len(os.sched_getaffinity(0))

    def joules(start: Sample, stop: Sample, own_share: float) -> Energy:
        cpu, wall = stop.cpu_s - start.cpu_s, stop.wall_s - start.wall_s
        gigabytes = max(start.counter, stop.counter)

        def sum_j(end: str, share: float) -> float:
            active, idle, ram = (getattr(r, end) for r in (ACTIVE_W, IDLE_W, RAM_W_PER_GB))
            return cpu * active + share * wall * (count * idle + gigabytes * ram)

        # On a shared machine the wait for others stretches the window: the low end charges our share of idle power.
        return Energy(sum_j("low", own_share), sum_j("central", 1.0), sum_j("high", 1.0))

    return Meter(
        name="modelled",
        provenance="MODELLED",
        boundary="server share of this process: processor, memory, power supply",
        period_s=TICK_S,
        counter=resident_gb,
        joules=joules,
        idle_seconds=0.1,
    )


def resident_gb() -> float:
    """Resident memory of this process in GB; its peak where the system does not tell the present value."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def nvml(library: Any = None) -> Meter:
    """The total-energy counters of the NVIDIA GPUs that this process may see (Volta and later).

    Args:
        library: the module `pynvml`, or a stand-in for it.

    Raises:
        MeterUnavailable: without driver, GPU or counter.
    """
    if library is None:
        try:
            import pynvml as library
        except ImportError:
            raise MeterUnavailable('The meter "nvml" needs `pip install nvidia-ml-py`.') from None
    try:
        library.nvmlInit()
        handles = [library.nvmlDeviceGetHandleByIndex(i) for i in _visible(library.nvmlDeviceGetCount())]
        for handle in handles:
            library.nvmlDeviceGetTotalEnergyConsumption(handle)
    except library.NVMLError as error:
        raise MeterUnavailable(
            f"NVML cannot be read ({error}). It needs an NVIDIA driver and a GPU of the Volta generation or later; "
            'without one, open the meter "rapl" or "modelled".'
        ) from None
    if not handles:
        raise MeterUnavailable('NVML sees no GPU that this process may use; open the meter "rapl" or "modelled".')

    def counter() -> float:
        return sum(library.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1e3

    return Meter(
        name="nvml",
        provenance="MEASURED",
        boundary=f"{len(handles)} GPU boards, without host",
        period_s=NVML_PERIOD_S,
        counter=counter,
        joules=_counter_joules(NVML_ERROR, NVML_PERIOD_S),
        sees_cpu=False,
        idle_seconds=2.0,
    )


def _visible(count: int) -> list[int]:
    """Indices of the GPUs in CUDA_VISIBLE_DEVICES; all of them where it is unset or names GPUs by another scheme."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None or not all(part.strip().isdigit() for part in listed.split(",") if part.strip()):
        return list(range(count))
    return [int(part) for part in listed.split(",") if part.strip() and int(part) < count]


def _counter_joules(error: float, period_s: float) -> Callable[[Sample, Sample, float], Energy]:
    """Joules of a counter: its relative error, plus one late update at either end; others' work lowers the low end."""

    def joules(start: Sample, stop: Sample, own_share: float) -> Energy:
        energy = stop.counter - start.counter
        wide = error + 2 * period_s / (stop.wall_s - start.wall_s)
        return Energy(energy * max(0.0, 1 - wide) * own_share, energy, energy * (1 + wide))

    return joules


def rapl(root: Path = RAPL_ROOT) -> Meter:
    """Package and DRAM counters of Linux powercap (Intel and AMD), corrected for wraparound.

    Args:
        root: the powercap folder.

    Raises:
        MeterUnavailable: without such counters, or without the right to read them.
    """
    zones = []
    for folder in sorted(root.glob("intel-rapl:*")):
        label = folder / "name"
        # Psys contains the packages, and the subzones core and uncore are contained in them.
        if label.exists() and label.read_text().strip().split("-")[0] in ("package", "dram"):
            zones.append(folder)
    if not zones:
        raise MeterUnavailable(
            f"There are no RAPL counters under {root} (a virtual machine rarely has them). Run on the bare machine, or "
            'open the meter "modelled".'
        )
    try:
        spans = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        last = [int((zone / "energy_uj").read_text()) for zone in zones]
    except PermissionError:
        raise MeterUnavailable(
            f"The RAPL counters under {root} are readable by root only. Run `sudo chmod -R a+r {root}/intel-rapl*`, "
            'or use zeusd and the meter "zeus", or open the meter "modelled".'
        ) from None
    total = [0]
    lock = threading.Lock()

    def counter() -> float:
        with lock:
            for i, zone in enumerate(zones):
                now = int((zone / "energy_uj").read_text())
                total[0] += now - last[i] if now >= last[i] else now - last[i] + spans[i]
                last[i] = now
            return total[0] / 1e6

    return Meter(
        name="rapl",
        provenance="MEASURED",
        boundary=f"{len(zones)} RAPL domains (processor packages and memory)",
        period_s=1e-3,
        counter=counter,
        joules=_counter_joules(RAPL_ERROR, 1e-3),
        poll_s=RAPL_POLL_S,
    )


def zeus(monitor: Any = None) -> Meter:
    """GPU, CPU and DRAM counters through the library Zeus (AMD GPUs, RAPL without root by its daemon, and others).

    Args:
        monitor: a `zeus.monitor.ZeusMonitor`, or a stand-in for it.

    Raises:
        MeterUnavailable: if Zeus is not installed or sees no counter.
    """
    if monitor is None:
        try:
            from zeus.monitor import ZeusMonitor  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise MeterUnavailable('The meter "zeus" needs the extra: `pip install "qgen[zeus]"`.') from None
        monitor = ZeusMonitor(sync_execution_with="jax")
    total = [0.0]

    def counter() -> float:
        window = monitor.end_window("qgen")
        parts = [values for values in (window.gpu_energy, window.cpu_energy, window.dram_energy) if values]
        if not parts:  # Zeus says 0 J where it sees nothing
            raise MeterUnavailable('Zeus sees no energy counter on this machine; open the meter "modelled".')
        total[0] += sum(sum(values.values()) for values in parts)
        monitor.begin_window("qgen")
        return total[0]

    monitor.begin_window("qgen")
    counter()
    return Meter(
        name="zeus",
        provenance="MEASURED",
        boundary="all counters that Zeus sees",
        period_s=NVML_PERIOD_S,
        counter=counter,
        joules=_counter_joules(NVML_ERROR, NVML_PERIOD_S),
        idle_seconds=2.0,
    )


METERS: dict[str, Callable[[], Meter]] = {"nvml": nvml, "rapl": rapl, "zeus": zeus, "modelled": modelled}


def available() -> Sequence[tuple[str, Meter | str]]:
    """Every meter by name, opened, or the reason why it cannot be."""
    found: list[tuple[str, Meter | str]] = []
    for name, opener in METERS.items():
        try:
            found.append((name, opener()))
        except MeterUnavailable as error:
            found.append((name, str(error)))
    return found
