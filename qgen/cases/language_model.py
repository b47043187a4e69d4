"""Quantum fine-tuning of a language model: a quantum head on sentence features against classical heads on the same.

Problem: sentiment of SST-2 phrases from a frozen encoder's features, or prose against code from our own model's.
Classical: logistic regression, RBF SVM, MLPs; and a logistic regression with as many weights as the quantum head.
Quantum: amplitude-encoded encoders, re-uploading, one measured qubit, trained end to end; controls: its parts left out.
Score: accuracy on SST-2's development sentences.

Kim et al., arXiv:2504.08732; `qgen.quantum.head` says how its circuit is read.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from qgen import check
from qgen.cases import language_model_arms as arms
from qgen.cases import language_model_own as own
from qgen.cases import language_model_report as report
from qgen.cases.base import Case, MissingData, Point, Sources
from qgen.cases.language_model_arms import Answer, Labelled, Problem, Setting
from qgen.lm import encoder, encoder_files, tokenizer
from qgen.stages import base_model
from qgen.stages.base import Quality
from qgen.types import Key

VALIDATION = 0.15
"""Share of the labelled samples that choose the settings, as in the article."""
COSTLY = 13
"""Qubits from which FEW seeds are run."""
FEW = 3


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the case.

    Attributes:
        data: "sst2" (needs --data=sst2=FOLDER): phrases through the encoder; "sst2_own": through the lifecycle's model;
            "domains": passages of prose against code through the lifecycle's model; "generated": vectors drawn here.
        trained: the lifecycle's preset whose model is trained where --data=artefacts=FOLDER names none.
        samples: labelled samples per label.
        pool: most phrases of the training set that are encoded; 0: all 67,349.
        tested: most development sentences that are classified; 0: all 872.
        qubits: width of the quantum machine's circuit.
        sweep: other widths.
        wide: the article's widest: qubits of a circuit behind two encoders; 0: none.
        deep: layers of the encoder's circuit of a deeper head; 0: none.
        simulated: widths at which simulating the circuit is measured.
        steps: training steps.
        batch: examples per step.
        long: training steps of the head on as many epochs as the MLPs may take; 0: not run.
        full: epochs on all encoded phrases; 0: not run.
        bulk: examples per step there.
        shots: shots per circuit.
        errors: errors of a two-qubit gate.
        noisy: width of the circuit whose noise is simulated, by density matrices.
    """

    data: str = "sst2"
    trained: str = "default"
    samples: int = 256
    pool: int = 0
    tested: int = 0
    qubits: int = 10
    sweep: tuple = (4, 8, 12, 14)
    wide: int = 0
    deep: int = 9
    simulated: tuple = (10, 13, 16)
    steps: int = 500
    batch: int = 16
    long: int = 2720
    full: int = 1
    bulk: int = 64
    shots: tuple = (10, 100, 1000)
    errors: tuple = (0.001, 0.01, 0.03)
    noisy: int = 6


class Features(NamedTuple):
    """What the arms draw from."""

    train: Labelled
    test: Labelled


def load(config: Config, files: Mapping[str, Path]) -> Sources:
    """Sentence features of SST-2, or drawn vectors.

    Raises:
        MissingData: if the data or the encoder is missing.
        ValueError: if a setting is out of range.
    """
    check.one_of("data", config.data, ("sst2", *report.OWN, "generated"))
    check.one_of("trained", config.trained, base_model.CHARACTERS)
    check.at_least("samples", config.samples, 4)
    for name in ("pool", "tested"):
        check.at_least(name, getattr(config, name), 0)
    for width in (config.qubits, config.noisy, *config.sweep, *config.simulated):
        check.at_least("qubits, noisy, sweep and simulated", width, 3)
    if config.data == "generated":
        return Sources(generated(config), "")
    if config.data == "domains":
        base = own.model(config.trained, files.get("artefacts"))
        parts = [own.labelled(base, *own.domains(base, held)) for held in (False, True)]
        return Sources(Features(*parts), f"domains {len(parts[0].y)} {parts[1].x[:8].sum():.4f}")
    if "sst2" not in files:
        raise MissingData("SST-2 is read from a folder with train.tsv and dev.tsv of GLUE: --data=sst2=FOLDER.")
    encode = encoding(config, files)
    train, test = (read(files["sst2"] / name) for name in ("train.tsv", "dev.tsv"))
    rng = np.random.default_rng(11)
    kept = rng.permutation(len(train[0]))[: config.pool or None]
    texts, labels = [train[0][place] for place in kept], train[1][kept]
    tested = slice(config.tested or None)
    features = Features(
        Labelled(encode(texts), labels),
        Labelled(encode(test[0][tested]), test[1][tested]),
    )
    return Sources(features, f"{config.data} {len(labels)} {features.test.x[:8].sum():.4f}")


def encoding(config: Config, files: Mapping[str, Path]) -> Callable[[Sequence[str]], np.ndarray]:
    """What makes features of sentences: the encoder, or the lifecycle's model behind its own tokenizer.

    Raises:
        MissingData: if the encoder or the model is missing.
    """
    if config.data == "sst2_own":
        base = own.model(config.trained, files.get("artefacts"))
        return lambda texts: own.encode(base, tokenizer.encode(base.tokenizer, texts))
    try:
        loaded = encoder_files.load(files.get("encoder"))
    except encoder_files.CheckpointError as error:
        raise MissingData(str(error)) from None
    return lambda texts: encoder.encode(loaded, texts)


def read(file: Path) -> tuple[list[str], np.ndarray]:
    """Sentences and labels of a table of GLUE.

    Raises:
        MissingData: if the file is missing, or has no columns `sentence` and `label` of zeros and ones.
    """
    if not file.is_file():
        raise MissingData(f"There is no file {file}; --data=sst2=FOLDER takes train.tsv and dev.tsv of GLUE's SST-2.")
    header, *lines = file.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    wrong = next((n for n, row in enumerate(rows, 2) if len(row) != 2 or row[1] not in ("0", "1")), None)
    if header.split("\t") != ["sentence", "label"] or wrong is not None or not rows:
        raise MissingData(f"{file}, line {wrong or 1}: must hold a sentence, a tab and a label of 0 or 1.")
    return [row[0] for row in rows], np.array([int(row[1]) for row in rows], np.int32)


def generated(config: Config) -> Features:
    """Vectors of unit length around a common mean, whose class moves them along one direction (about 0.85 apart)."""
    rng = np.random.default_rng(12)
    count = 4 * config.samples + 400
    y = rng.permutation(np.arange(count) % 2).astype(np.int32)
    x = 0.3 + rng.normal(size=(count, 24))
    x[:, 0] += 2.0 * (2 * y - 1)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Features(Labelled(x[400:], y[400:]), Labelled(x[:400], y[:400]))


def points(config: Config, sources: Sources) -> list[Point]:
    """The article's setting with all arms; then widths, the cost of simulation, depth, effort, and all phrases.

    On the features of the lifecycle's model the article's setting alone.
    """
    base = Setting(config.data, config.samples, config.pool, config.qubits, steps=config.steps, batch=config.batch)
    others = (*arms.CLASSICAL, *arms.CONTROLS)
    made = [Point(dataclasses.replace(base, shots=config.shots), (arms.HEAD, *others), priced=True)]
    if config.data in report.OWN:
        return made
    for width in sorted({*config.sweep, config.noisy} - {config.qubits}):
        errors, rivals = (config.errors, ("classical/matched",)) if width == config.noisy else ((), ())
        one = dataclasses.replace(base, qubits=int(width), errors=errors)
        made.append(Point(one, (arms.HEAD, *rivals), seeds=FEW if width >= COSTLY else None))
    for width in config.simulated:
        one = dataclasses.replace(base, qubits=int(width), trials=1)
        made.append(Point(one, (arms.UNTRAINED,), seeds=2, priced=True))
    if config.wide:
        made.append(Point(dataclasses.replace(base, qubits=config.wide, encoders=2), (arms.HEAD,)))
    if config.deep:
        made.append(Point(dataclasses.replace(base, layers=config.deep), (arms.HEAD,)))
    if config.long:
        made.append(Point(dataclasses.replace(base, steps=config.long), (arms.HEAD,), seeds=FEW))
    if config.full:
        steps = math.ceil(config.full * (1 - VALIDATION) * len(sources.data.train.y) / config.bulk)
        whole = dataclasses.replace(base, samples=0, steps=steps, batch=config.bulk)
        made.append(Point(whole, (arms.HEAD, "classical/logistic", "control/encoders_only")))
    return made


def problem(key: Key, setting: Setting, sources: Sources) -> Problem:
    """Draws the labelled samples, as many of each label, and their validation part."""
    pool: Labelled = sources.data.train
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    classes = [rng.permutation(np.flatnonzero(pool.y == label)) for label in (0, 1)]
    least = min(len(places) for places in classes)
    if setting.samples > least:
        raise ValueError(f"Setting `samples` must be at most {least}, what a label has, but is {setting.samples}.")
    chosen = rng.permutation(np.concatenate([places[: setting.samples or None] for places in classes]))
    held = round(VALIDATION * len(chosen))
    train, validation = (Labelled(pool.x[p], pool.y[p]) for p in (chosen[held:], chosen[:held]))
    return Problem(train, validation, sources.data.test)


def score(problem: Problem, answer: Answer) -> dict[str, float]:
    """Accuracy on the test part, exact, by shots and errors, and on the validation part; size and effort."""
    truth = problem.test.y
    found = {
        f"accuracy{name}": float(np.mean((logits > 0) == truth[: len(logits)]))
        for name, logits in answer.logits.items()
    }
    made = {} if answer.effort is None else {name: float(n) for name, n in answer.effort._asdict().items()}
    return found | made | {"validation": answer.validation, "parameters": float(answer.size)}


CASE = Case(
    facts=report.FACTS,
    quality=Quality("accuracy", True, 0.01),
    presets={
        "smoke": Config(
            data="generated",
            samples=40,
            qubits=4,
            sweep=(3,),
            deep=0,
            simulated=(4, 5, 6),
            steps=40,
            long=0,
            full=0,
            shots=(100,),
            errors=(0.01,),
            noisy=3,
        ),
        "default": Config(),
        "paper": Config(
            sweep=(4, 5, 7, 8, 9, 12, 14),
            wide=14,
            simulated=(10, 12, 14, 16, 18),
            steps=2720,
            long=0,
            full=5,
            shots=(10, 100, 1000, 10_000),
        ),
    },
    seeds={"smoke": 2, "default": 5, "paper": 10},
    files={
        "sst2": "folder with train.tsv and dev.tsv of GLUE's SST-2",
        "artefacts": "folder of the lifecycle's training stage, for data of its model; without it a model is trained",
        "encoder": "folder of a BERT or GPT-2 checkpoint; without it all-MiniLM-L6-v2 of the extra",
    },
    load=load,
    points=points,
    problem=problem,
    score=score,
    arms=arms.ARMS,
    figures=report.FIGURES,
    use=arms.use,
)
