"""The 23 claims of the articles, each with its rule and with what makes its records."""

from qgen.cases import claim_rules as rules
from qgen.cases import flights_report, language_model_arms
from qgen.cases.claims import Claim

LIFE = "scripts/lifecycle"


def run(case: str) -> str:
    """The command that makes a case's rows."""
    return f"python -m experiments.cases --case={case}"


CLAIMS = (
    Claim(
        "A long prompt on the heaviest models costs at least 33 Wh (v1, v2) or 29 Wh (v6)",
        "published accelerator measurements times a centre's overhead",
        rules.prompt,
        "python -m experiments.claims",
    ),
    Claim(
        "Quantum clustering lowers the energy of data processing",
        "curation: energy over the best classical arm's; recall of duplicates",
        rules.curation,
        LIFE,
    ),
    Claim(
        f"That benefit is low (here: below {100 * rules.LOW:.0f} % of a life)",
        "curation's saved share",
        rules.potential,
        LIFE,
    ),
    Claim(
        "Noise-adapted q-k-means gains 67.8 % of balanced accuracy",
        "gain over the standard version on machines' noise",
        rules.adaptation,
        run("grid"),
    ),
    Claim(
        "q-k-means beats classical k-means neither in quality nor in energy",
        "inertia over the reference's, minus k-means'; energy per clustering",
        rules.clustering,
        run("grid"),
    ),
    Claim(
        "log2 N encoding needs log2 N qubits at O(N) gates",
        "counted qubits and two-qubit gates of a kernel entry",
        rules.loading,
        run("clinical"),
    ),
    Claim(
        "log2 N encoding gains up to 2 points of AUC over N",
        "difference of AUC, N = 8",
        rules.encodings,
        run("clinical"),
    ),
    Claim(
        "qDC wins on small sets, kernels on large ones", "qDC minus qKSVM, AUC", rules.small_and_large, run("clinical")
    ),
    Claim(
        "Noise costs sqKSVM 0 to 2 points of AUC",
        "loss of AUC by depolarising errors",
        rules.noise_loss,
        run("clinical"),
    ),
    Claim(
        "Quantum classifiers help with 10 to 100 samples",
        "best quantum minus best classical AUC",
        rules.few_samples,
        run("clinical"),
    ),
    Claim(
        "A Fourier surrogate reaches a target in fewer trainings than standard search",
        "trainings to the target over TPE's; its twin's beside",
        rules.surrogate(flights_report.trainings),
        run("flights"),
    ),
    Claim(
        "Fewer trainings mean less energy",
        "joules to the target over TPE's, the strategy included",
        rules.surrogate(flights_report.joules),
        run("flights"),
    ),
    Claim(
        "Grover search of weights needs O(sqrt N) oracle calls",
        "exponent of counted calls in N",
        rules.exponent,
        run("weights"),
    ),
    Claim(
        "It cuts test loss by 58.75 % and lifts accuracy by 35.25 % against gradient training",
        "changes against tuned Adam",
        rules.against_gradient,
        run("weights"),
    ),
    Claim(
        "A network of three hidden layers reaches 97.7 % on Digits",
        "test accuracy",
        rules.digits,
        run("weights"),
    ),
    Claim(
        "Coherent oracle work beats backpropagation for some sizes",
        "forward passes over tuned Adam's, log10",
        rules.oracle_work,
        run("weights"),
    ),
    Claim(
        "A quantum head improves fine-tuning by up to 3.14 % at comparable size",
        "accuracy minus that of a classical head of its size, and of the best",
        rules.gains((("classical/matched",), language_model_arms.CLASSICAL)),
        run("language_model"),
    ),
    Claim("Accuracy rises with the number of qubits", "slope of accuracy", rules.widths, run("language_model")),
    Claim(
        "Each module contributes",
        "accuracy minus that without a module",
        rules.gains(tuple((control,) for control in language_model_arms.CONTROLS)),
        run("language_model"),
    ),
    Claim(
        "The gain survives finite shots and noise",
        "accuracy at 1000 shots, and at a gate error of 0.01, minus that of classical heads",
        rules.gains((("classical/matched",), language_model_arms.CLASSICAL), rules.SHOTS_AND_NOISE),
        run("language_model"),
    ),
    Claim(
        "A machine uses less energy than simulating its circuit from about 34 qubits",
        "break-even of measured exponential laws with a projected machine",
        rules.simulator,
        LIFE,
    ),
    Claim(
        "A machine uses less energy than the best classical model",
        "energy per classified sentence over logistic regression's",
        rules.classical_model,
        run("language_model"),
    ),
    Claim(
        "Tens of kW against MW of a cluster: so quantum computing uses less energy",
        "energy over the best classical arm's at equal quality, stage by stage",
        rules.power,
        LIFE,
    ),
)
