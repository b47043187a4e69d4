"""The seven stages of a language model's life, in order: STAGES maps a name to its Stage."""

from qgen.stages import architecture, curation, deployment, encoding, finetuning, monitoring, training
from qgen.stages.base import Artefacts, Outcome, Stage

STAGES: dict[str, Stage] = {
    module.STAGE.name: module.STAGE
    for module in (curation, encoding, architecture, training, finetuning, deployment, monitoring)
}

__all__ = ["STAGES", "Artefacts", "Outcome", "Stage"]
