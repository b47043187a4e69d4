"""Settings that must fit each other, within a stage or across stages: what no single field can say."""

import math
from collections.abc import Mapping
from typing import Any

from qgen import check
from qgen.classical import subset


def fits(configs: Mapping[str, Any]) -> None:
    """Refuses settings with which the lifecycle would break off in the middle.

    A stage may choose any of architecture's shapes, so that what depends on the model must fit all of them.

    Args:
        configs: stage name -> Config, of all seven stages.

    Raises:
        ValueError: naming both fields where two do not fit.
    """
    curation, encoding, architecture, _, finetuning, deployment, monitoring = configs.values()
    check.within("curation.clusters", curation.clusters, 1, curation.documents)
    check.within("encoding.width", encoding.width, 2, encoding.vocabulary - 1)
    check.within("encoding.codes", encoding.codes, 2, encoding.vocabulary)
    if encoding.width % encoding.parts:
        raise ValueError(
            f"Argument `encoding.parts` must divide `encoding.width` = {encoding.width}, but is {encoding.parts}."
        )
    if wrong := [width for width in architecture.widths if width % (2 * architecture.heads)]:
        raise ValueError(
            f"Argument `architecture.widths` must hold multiples of 2 * `architecture.heads` = "
            f"{2 * architecture.heads}, but holds {wrong[0]}."
        )
    narrowest = min(architecture.widths)
    check.within("finetuning.rank", finetuning.rank, 1, narrowest)
    check.within("monitoring.features", monitoring.features, 2, narrowest + 1)
    validation = max(1, round(finetuning.validation * finetuning.samples))
    if validation >= finetuning.samples:
        raise ValueError(
            f"Argument `finetuning.validation` must leave at least 1 of `finetuning.samples` = {finetuning.samples}, "
            f"but is {finetuning.validation}."
        )
    for depth in architecture.depths:
        if math.comb(2 * depth, deployment.branches(depth)) > subset.MOST:
            raise ValueError(
                f"Argument `architecture.depths` must have at most {subset.MOST} choices of `deployment.removed` = "
                f"{deployment.removed} of the branches, but {depth} has more."
            )
