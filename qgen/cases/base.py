"""Case: an industry case as data sources, points (settings with their arms), arms, one score, and published numbers.

A case runs as a stage does: `problem` makes what all arms of a point and a seed see, each arm solves it, one score
judges all, and `qgen.stages.base.run_arm` measures and prices. What tables say of it stands in its `facts`.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from qgen.record import Record
from qgen.report import cases as report
from qgen.report import style
from qgen.report.cases import Facts
from qgen.stages.base import Arm, Quality, Stage, Use
from qgen.types import Key

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

EXTRA = "pip install 'qgen[cases]'"


class MissingData(ValueError):
    """Data or a package that a case needs; the message names the command that gets it."""


def need(module: str, purpose: str) -> ModuleType:
    """A module of the extra.

    Args:
        module: its import name.
        purpose: what it is for, as in "German load profiles".

    Raises:
        MissingData: naming the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingData(f"{purpose} need the package {module}: {EXTRA}.") from error


class Sources(NamedTuple):
    """Raw data of a case, read once, and a fingerprint of it for the records (not of generated data)."""

    data: Any
    fingerprint: str


class Point(NamedTuple):
    """One setting of a case.

    Attributes:
        setting: a frozen dataclass; its fields are the record's config.
        arms: the arms that run there.
        seeds: how many seeds; None: as many as the preset or the flag says.
        priced: whether joules count: all arms are measured in windows that are long enough to trust, and the quantum
            arm of the yearly figure is priced on all machines. Elsewhere joules are not kept.
    """

    setting: Any
    arms: Sequence[str]
    seeds: int | None = None
    priced: bool = False


class Case(NamedTuple):
    """One industry case.

    Attributes:
        facts: its name, its title, its published numbers and what its tables say.
        quality: the headline score.
        presets: preset name -> Config (a frozen dataclass), whose fields `--set` changes.
        seeds: preset name -> seeds.
        files: name of a file that the user may give -> what it is and where it comes from.
        load: `(config, files) -> Sources`; raises MissingData.
        points: `(config, sources) -> points`.
        problem: `(key, setting, sources) -> problem`.
        score: `(problem, answer) -> name -> float`.
        arms: arm name -> `setting -> Arm`.
        figures: file name -> `rows -> Figure`.
        use: as in Stage.
    """

    facts: Facts
    quality: Quality
    presets: Mapping[str, Any]
    seeds: Mapping[str, int]
    files: Mapping[str, str]
    load: Callable[[Any, Mapping[str, Path]], Sources]
    points: Callable[[Any, Sources], Sequence[Point]]
    problem: Callable[[Key, Any, Sources], Any]
    score: Callable[[Any, Any], dict[str, float]]
    arms: Mapping[str, Callable[[Any], Arm]]
    figures: "Mapping[str, Callable[[Sequence[Record]], Figure]]"
    use: Callable[[Any, Any], Use | None] | None = None

    @property
    def name(self) -> str:
        """The word that flags and records use."""
        return self.facts.name

    def write(self, rows: Sequence[Record], out: Path, console: "Console | None" = None) -> None:
        """Writes the case's tables and figures, and prints the tables.

        Args:
            rows: the rows of one run of the case; of rows that were run twice the newer counts.
            out: the folder that receives `tables/` and `figures/`.
            console: where to print; None prints nothing.
        """
        rows = list({row.key: row for row in rows}.values())
        report.write(rows, self.facts, out, console)
        drawn = out / "figures"
        drawn.mkdir(parents=True, exist_ok=True)
        with style.applied():
            for name, figure in self.figures.items():
                style.save(figure([row for row in rows if row.status == "ok"]), drawn / name)

    def stage(self) -> Stage:
        """The case as `run_arm` takes it: a stage that hands nothing on."""
        return Stage(
            name=self.name,
            title=self.facts.title,
            quality=self.quality,
            presets=self.presets,
            problem=self.problem,
            score=self.score,
            arms=self.arms,
            reference=self.facts.yearly.classical,
            swap=self.facts.yearly.quantum,
            hand_on=lambda artefacts, problem, answer: artefacts,
            use=self.use,
        )
