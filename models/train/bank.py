"""The bank of labelled cases: which are admitted with which weight, and how the nearest of them vote."""

import dataclasses

import numpy


@dataclasses.dataclass(frozen=True)
class Admission:
    """A case is admitted by chance, and counts one over that chance: sums over the bank stand for sums over all.

    Chances are higher where frauds and genuine cases meet, because there the vote is decided:
    `fraud_factor` * (1 - p) ** 0.5 for a fraud and `genuine_factor` * p ** 0.7 for a genuine case, at most 1, where p
    is what was thought of the case before its label was known.
    """

    fraud_factor: float
    genuine_factor: float

    def chances(self, frauds, probability):
        """[n] chance of each case."""
        raw = numpy.where(frauds, self.fraud_factor, self.genuine_factor) * appeal(frauds, probability)
        return numpy.minimum(1, raw)

    def draw(self, frauds, probability, random):
        """Places of the cases that are admitted, ascending, and their weights."""
        chances = self.chances(frauds, probability)
        chosen = numpy.flatnonzero(random.random(len(frauds)) < chances)
        return chosen, (1 / chances[chosen]).astype("f4")


def appeal(frauds, probability):
    """[n] what the chances are in proportion to, within frauds and within genuine cases."""
    fraud = numpy.maximum(1 - probability, 0.01) ** 0.5
    return numpy.where(frauds, fraud, numpy.maximum(probability, 1e-5) ** 0.7)


def admission(frauds, probability, wanted):
    """The admission that draws about `wanted` of these cases, half of them frauds if there are so many."""
    raw = appeal(frauds, probability)
    factors = []
    for mask in (frauds, ~frauds):
        part = raw[mask]
        goal = min(wanted / 2, len(part))
        factor = goal / part.sum()
        for _ in range(40):
            factor *= goal / numpy.minimum(1, factor * part).sum()
        factors.append(float(factor))
    return Admission(*factors)


@dataclasses.dataclass
class Bank:
    """Rows in the order of admission."""

    embeddings: numpy.ndarray  # [rows, dimensions] f32 of length 1
    weights: numpy.ndarray  # [rows] f32
    labels: numpy.ndarray  # [rows] f32, 1 fraud, 0 genuine

    def with_rows(self, embeddings, weights, labels):
        """A bank with these rows appended."""
        parts = (self.embeddings, embeddings), (self.weights, weights), (self.labels, labels.astype("f4"))
        return Bank(*(numpy.concatenate(part) for part in parts))

    def where(self, mask):
        """A bank of some of the rows."""
        return Bank(self.embeddings[mask], self.weights[mask], self.labels[mask])


def nearest(queries, bank, neighbours, part=1024):
    """Rows of the bank that are nearest to each query, and their distances 1 - cosine: yields [part, neighbours]."""
    neighbours = min(neighbours, len(bank.labels))
    for start in range(0, len(queries), part):
        similarity = queries[start : start + part] @ bank.embeddings.T
        rows = numpy.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        yield rows, 1 - numpy.take_along_axis(similarity, rows, 1)


def shares(queries, bank, neighbours, temperature):
    """[queries] share of fraud among the votes weight * exp(-distance / temperature) of the nearest rows."""
    out = []
    for rows, distance in nearest(queries, bank, neighbours):
        # The share is the same wherever distances begin; the nearest at 0 keeps all votes from vanishing.
        distance = distance - distance.min(1, keepdims=True)
        votes = bank.weights[rows] * numpy.exp(-distance / numpy.float32(temperature))
        out.append((votes * bank.labels[rows]).sum(1) / votes.sum(1))
    return numpy.concatenate(out) if out else numpy.zeros(0)
