"""Writes the small models of random weights that the engine's tests read: one encoder in each precision.

    python models/train/fixtures.py

Beside the files of a model lies `expected.csv`: vectors, and the embeddings that the trainer computes of them.
"""

import os
import pathlib

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy

import bank
import model
import network
import reference
from precision import PRECISIONS

FOLDER = pathlib.Path(__file__).parent / "../../engine/score/tests/precisions"
FEATURES = ["amount", "hour", "is_night", "count"]
ROWS = 32


def write(folder):
    """One folder per precision. Features in ramps and as one column, layers that are no multiple of 16 wide."""
    random = numpy.random.default_rng(11)
    x = numpy.stack([random.gamma(2, 3000, 400), random.integers(0, 24, 400), random.integers(0, 2, 400)], 1)
    x = numpy.column_stack([x, random.poisson(3, 400)]).astype("f4")
    inputs = network.ramp_inputs(x, x[:, 0] > 9000, 6)
    encoder = model.Encoder(inputs, network.Network(len(inputs.source), (35, 16), 8, 12))
    for index in (1, 3, 5):
        encoder.network.parameters[index] += random.normal(0, 0.1, len(encoder.network.parameters[index])).astype("f4")
    for precision in PRECISIONS:
        write_one(folder / precision, model.in_precision(encoder, precision), x)


def write_one(folder, encoder, x):
    """A model whose bank is some of the vectors, and what the encoder makes of the others."""
    rows = bank.Bank(encoder.embed(x[ROWS : 2 * ROWS]), numpy.ones(ROWS, "f4"), numpy.arange(ROWS) % 2)
    trained = model.Model(encoder, rows, 8, 0.1, 1.0, 0.0, bank.Admission(0.5, 4.0), 1_533_081_599_000_000_000)
    trained.usual = model.usual(x)
    trained.reference = reference.tables(x[:ROWS], FEATURES, trained.scores(x[:ROWS]))
    about = {"name": "random", "version": 1, "trained_on": "nothing"}
    about |= {"features": FEATURES, "feature_set_hash": "00000000000000ff"}
    thresholds = {"alarm": 0.25, "false_alarm_cost": 5.0}
    model.write(folder, trained, [f"case-{row}" for row in range(ROWS)], about, thresholds, {})
    values = numpy.hstack([x[:ROWS], encoder.embed(x[:ROWS])])
    lines = [",".join(f"{value:.9g}" for value in row) for row in values]
    (folder / "expected.csv").write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    write(FOLDER)
