"""The circuit that test_sharding.py and its worker processes both know."""

import numpy as np

from qgen import circuits as qc

N = 5
BODY = qc.Circuit(
    N,
    (
        *(qc.gate("ry", q, qc.Angle(q)) for q in range(N)),
        qc.gate("cx", (0, 1)),
        qc.gate("crx", (4, 0), qc.Angle(N)),
        qc.gate("crz", (1, 3), qc.Angle(N + 1)),
        qc.gate("rzz", (1, 0), qc.Angle(N + 2)),
        qc.gate("iswap", (1, 2)),
        qc.gate("ccx", (3, 0, 1)),
        qc.gate("gphase", (), 0.3),
    ),
)
CIRCUIT = qc.Circuit(N, (qc.gate("h", 0), qc.gate("t", 1))) + qc.repeat(BODY, 2, shared=1)
PARAMS = np.random.default_rng(6).uniform(-3, 3, CIRCUIT.n_params)
WORDS = (("XIZIY", "YXIII"), ("ZIIII", "IZZII", "IIIII"))
OBSERVABLES = [qc.Observable(WORDS[0], np.array([0.4, 1.1])), qc.Observable(WORDS[1], np.array([0.9, -0.5, 0.2]))]
START = np.random.default_rng(7).normal(size=(2, 2**N))
START = (START[0] + 1j * START[1]) / np.linalg.norm(START)
