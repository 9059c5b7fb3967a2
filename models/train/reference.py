"""What inputs and scores were like in training: the table [reference] that a live engine's drift is counted against.

Edges are chosen as an engine chooses them from its own first transactions, `Bins` in engine/node/src/drift/mod.rs:
the deciles, equal ones as one, and below the lowest value a bin of its own where that value is a decile.
"""

import numpy

PARTS = 10
STEPS = 1_000_000  # of a share, as in engine/node/src/drift/live.rs

# Of scores: without a fraud among the votes they are all alike, in the engine too, but there with other last digits
# (sums in another order, a calibration that was written down in six digits). They must be in the same bin.
SLACK = 1e-4


def edges_of(values, slack=0.0):
    """Ascending edges, f32; bin i is above edge i - 1 and not above edge i. What is not finite does not count.

    With `slack`, values that are off by this part of an edge are in the bin of those that they should equal.
    """
    values = numpy.sort(values[numpy.isfinite(values)].astype("f4"))
    if not len(values):
        return values
    deciles = values[numpy.arange(1, PARTS) * len(values) // PARTS] + numpy.float32(0)  # -0 is 0
    edges = deciles + numpy.abs(deciles) * numpy.float32(slack)
    if deciles[0] == values[0]:
        below = numpy.nextafter(deciles[0] - numpy.abs(deciles[0]) * numpy.float32(slack), numpy.float32(-numpy.inf))
        edges = numpy.append(below, edges)
    return numpy.unique(edges)


def places_of(values, edges):
    """[n] the bin of each value; what is no number is in the first."""
    return numpy.where(numpy.isnan(values), 0, numpy.searchsorted(edges, values))


def distribution(values, slack=0.0):
    """Edges, in as few digits as tell them apart in f32, and the share of `values` in each bin; they sum up to 1."""
    values = values.astype("f4")
    edges = edges_of(values, slack)
    sums = numpy.bincount(places_of(values, edges), minlength=len(edges) + 1).cumsum()
    steps = numpy.diff(numpy.round(sums / len(values) * STEPS), prepend=0)
    return {"edges": [float(str(edge)) for edge in edges], "shares": [float(step) / STEPS for step in steps]}


def tables(x, features, scores):
    """[reference.score] and [reference.features] of vectors x [n, features] and their scores [n]."""
    found = {name: distribution(x[:, index]) for index, name in enumerate(features)}
    for name, each in found.items():
        if not each["edges"]:
            raise SystemExit(f"{name}: no finite value on the validation days, expected some")
    return {"reference.score": distribution(scores, SLACK), "reference.features": found}
