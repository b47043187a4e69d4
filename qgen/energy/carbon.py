"""Carbon, weight in a real lifecycle, money, energy per prompt: what joules mean outside this machine."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from qgen import check
from qgen.energy import ranges
from qgen.energy.ranges import Range, TableError
from qgen.types import Array, Float, Key

GRID = Path(__file__).with_name("grid.toml")
LIFECYCLES = Path(__file__).with_name("lifecycles.toml")
STAGES = ("curation", "encoding", "architecture", "training", "finetuning", "deployment", "monitoring")
JOULES_PER_KWH = 3.6e6
FACILITY = "world"
"""Region whose PUE stands for the data centre of everything that is measured classically."""
ELECTRICITY = Range(0.05, 0.12, 0.3, "USD/kWh", "our assumption: industrial prices of large countries", "C")


class Region(NamedTuple):
    """Grid intensity in g/kWh (location-based) and PUE of data centres."""

    intensity: Range
    pue: Range


def load_grid(path: Path = GRID) -> dict[str, Region]:
    """Regions by name.

    Raises:
        TableError: naming file, entry and field, for anything that breaks a rule.
    """
    table = ranges.read(path)
    sources = table.pop("sources", {})
    units = {"intensity": "g/kWh", "pue": "1"}
    regions = {}
    for name, row in table.items():
        if set(row) != set(units):
            raise TableError(
                f"{path.name}: entry `{name}` must have the fields {sorted(units)}, but has {sorted(row)}."
            )
        numbers = {field: ranges.parse(path.name, name, field, row[field], sources) for field in units}
        for field, unit in units.items():
            if numbers[field].unit != unit:
                raise TableError(f"{path.name}: entry `{name}`, field `{field}`: must be in {unit!r}.")
        if numbers["pue"].low < 1:
            raise TableError(
                f"{path.name}: entry `{name}`, field `pue`: is at least 1, but reaches {numbers['pue'].low}."
            )
        regions[name] = Region(**numbers)
    return regions


def grams(
    key: Key, energy_j: ArrayLike, region: Region, *, building: bool
) -> tuple[Float[Array, "draws"], Float[Array, "draws"]]:
    """Grams of CO2 of an energy, drawn from the region's ranges.

    Args:
        key: random key.
        energy_j: energy at the machine, [draws].
        region: where it is used.
        building: whether to multiply by the PUE: yes for servers, no for a quantum machine whose profile already
            contains cooling and air conditioning.

    Returns:
        Grams of CO2 and joules drawn from the grid, each [draws].
    """
    intensity_key, pue_key = jax.random.split(key)
    energy = jnp.asarray(energy_j)
    pue = region.pue.quantile(jax.random.uniform(pue_key, energy.shape)) if building else jnp.ones_like(energy)
    intensity = region.intensity.quantile(jax.random.uniform(intensity_key, energy.shape))
    return energy * pue / JOULES_PER_KWH * intensity, energy * pue


def facility(key: Key, draws: int, path: Path = GRID) -> Float[Array, "draws"]:
    """What a data centre draws per joule of its servers, drawn from the PUE of FACILITY.

    A quantum machine's watts contain its cooling and air conditioning, a meter's joules do not: whatever was measured
    is multiplied by this before it meets what was projected.
    """
    return load_grid(path)[FACILITY].pue.quantile(jax.random.uniform(key, (draws,)))


def electricity_usd(key: Key, grid_j: ArrayLike) -> Float[Array, "draws"]:
    """Cost of electricity in USD, drawn from ELECTRICITY."""
    return jnp.asarray(grid_j) / JOULES_PER_KWH * ELECTRICITY.quantile(jax.random.uniform(key, jnp.shape(grid_j)))


class Part(NamedTuple):
    """A part of a published lifecycle: its share of the energy and the stages that work inside it."""

    share: Range
    stages: tuple[str, ...]


class Lifecycle(NamedTuple):
    """A published lifecycle.

    Attributes:
        title: what tables print.
        whole: whether inference is in it.
        total_gwh: its energy, NaN where only shares are published.
        parts: part -> share and stages.
    """

    title: str
    whole: bool
    total_gwh: float
    parts: dict[str, Part]


def load_lifecycles(path: Path = LIFECYCLES) -> tuple[dict[str, Lifecycle], dict[str, dict[str, Range]]]:
    """Published lifecycles by name, and stage -> part -> share of the part that the stage works on.

    Raises:
        TableError: naming file, entry and field, for anything that breaks a rule.
    """
    table = ranges.read(path)
    sources = table.pop("sources", {})
    inside = table.pop("within", {})
    lifecycles = {}
    for name, row in table.items():
        where = f"{path.name}: entry `{name}`"
        parts = {}
        for part, value in row.get("parts", {}).items():
            stages = tuple(value.pop("stages", ()))
            if not stages or any(stage not in STAGES for stage in stages):
                raise TableError(f"{where}, field `{part}`: `stages` must name some of {STAGES}, but is {stages}.")
            parts[part] = Part(_share(path.name, name, part, value, sources), stages)
        total = sum(part.share.central for part in parts.values())
        if abs(total - 1) > 0.01:
            raise TableError(f"{where}: its parts must add up to 1, but their central values give {total:.3f}.")
        lifecycles[name] = Lifecycle(row["title"], row["whole"], row.get("total_gwh", float("nan")), parts)
    within = {
        stage: {part: _share(path.name, f"within.{stage}", part, value, sources) for part, value in row.items()}
        for stage, row in inside.items()
    }
    if set(within) != set(STAGES):
        raise TableError(f"{path.name}: entry `within` must have the stages {STAGES}, but has {tuple(within)}.")
    return lifecycles, within


def _share(file: str, entry: str, field: str, value: dict, sources: dict[str, str]) -> Range:
    number = ranges.parse(file, entry, field, value, sources)
    if number.unit != "1" or number.high > 1:
        raise TableError(f"{file}: entry `{entry}`, field `{field}`: must be a share of at most 1 in unit '1'.")
    return number


def weight(key: Key, stage: str, draws: int = 10_000, path: Path = LIFECYCLES) -> Float[Array, "draws"]:
    """Share of a whole life's energy that a stage works on; each draw takes one published whole life at random.

    A life that has no part for the stage (such as data in a fleet's split) gives no draw. So the share is conditional
    on a life that reports the stage, and the shares of all stages need not add up to one life.

    Args:
        key: random key.
        stage: one of STAGES.
        draws: draws.
        path: the table.

    Returns:
        Shares in [0, 1], [draws]; multiply by 1 - (new energy / old energy) for the share that could be saved.

    Raises:
        ValueError: for an unknown stage.
    """
    check.one_of("stage", stage, STAGES)
    lifecycles, within = load_lifecycles(path)
    rows = [
        (part.share, within[stage][name])
        for life in lifecycles.values()
        if life.whole
        for name, part in life.parts.items()
        if stage in part.stages and name in within[stage]
    ]
    pick_key, share_key, inside_key = jax.random.split(key, 3)
    pick = jax.random.randint(pick_key, (draws,), 0, len(rows))
    u_share, u_inside = jax.random.uniform(share_key, (draws,)), jax.random.uniform(inside_key, (draws,))
    every = jnp.stack([share.quantile(u_share) * inside.quantile(u_inside) for share, inside in rows])
    return every[pick, jnp.arange(draws)]


def until_release(path: Path = LIFECYCLES) -> list[tuple[str, str, float, float]]:
    """Rows (lifecycle, part, share, GWh) of every published split; GWh is NaN where no total is published."""
    lifecycles, _ = load_lifecycles(path)
    return [
        (life.title, part, row.share.central, row.share.central * life.total_gwh)
        for life in lifecycles.values()
        for part, row in life.parts.items()
    ]


def per_prompt_wh(
    tokens: float,
    tokens_per_s: float,
    latency_s: float,
    *,
    gpu_kw: float,
    other_kw: float,
    gpu_use: float,
    other_use: float,
    gpus: int = 8,
    node_gpus: int = 8,
    batch: int = 8,
    pue: float = 1.12,
) -> float:
    """Energy of one prompt by the formula of Jegham et al. (arXiv 2505.09598): time times the prompt's share of a node.

    E = (tokens / tokens_per_s + latency) * [gpu_kw * gpu_use + other_kw * other_use] * gpus / (node_gpus * batch) * pue

    Args:
        tokens: output tokens.
        tokens_per_s: speed of generation.
        latency_s: time to the first token.
        gpu_kw: power rating of a node's GPUs.
        other_kw: power rating of the rest of the node.
        gpu_use: share of the GPUs' rating that is drawn, per GPU.
        other_use: the same for the rest.
        gpus: GPUs that serve the model.
        node_gpus: GPUs of a node.
        batch: prompts served at once.
        pue: power usage effectiveness of the data centre.

    Returns:
        Wh per prompt.

    Raises:
        ValueError: for a negative or impossible argument.
    """
    for name, value in (("tokens_per_s", tokens_per_s), ("node_gpus", node_gpus), ("batch", batch), ("gpus", gpus)):
        check.positive(name, value)
    for name, value in (("tokens", tokens), ("latency_s", latency_s), ("gpu_kw", gpu_kw), ("other_kw", other_kw)):
        check.at_least(name, value, 0)
    check.within("gpu_use", gpu_use, 0, 1)
    check.within("other_use", other_use, 0, 1)
    check.at_least("pue", pue, 1)
    hours = (tokens / tokens_per_s + latency_s) / 3600
    share = gpus / (node_gpus * batch)
    return float(np.float64(1000) * hours * (gpu_kw * gpu_use + other_kw * other_use) * share * pue)
