"""From the vote to a probability, and from a probability to a decision by what mistakes cost."""

import numpy

MARGIN = 1e-3


def logit(share, margin=MARGIN):
    """Of a share kept from 0 and 1, by the same margin as in engine/score/src/scorer.rs."""
    share = numpy.clip(share, margin, 1 - margin)
    return numpy.log(share) - numpy.log(1 - share)


def calibrated(share, slope, intercept):
    """The score."""
    return 1 / (1 + numpy.exp(-(slope * logit(share) + intercept)))


def platt(x, targets):
    """Slope and intercept of a logistic regression with a little ridge, by Newton's method with halved steps."""
    design = numpy.stack([x, numpy.ones_like(x)], 1)
    centre = numpy.array([1.0, 0.0])

    def loss(beta):
        scaled = design @ beta
        return (numpy.logaddexp(0, scaled) - targets * scaled).sum() + ((beta - centre) ** 2).sum() / 2

    beta = centre
    for _ in range(50):
        p = 1 / (1 + numpy.exp(-numpy.clip(design @ beta, -500, 500)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + numpy.eye(2)
        step = numpy.linalg.solve(hessian, design.T @ (targets - p) - (beta - centre))
        while loss(beta + step) > loss(beta) and numpy.abs(step).max() > 1e-9:
            step = step / 2
        beta = beta + step
    return beta


def cheapest_threshold(scores, frauds, amounts, false_alarm):
    """The lowest score to alarm at so that mistakes cost least, and that cost in currency units.

    A missed fraud costs its amount, an alarm for a genuine case costs `false_alarm`. Above all scores (no alarm at
    all) is 1.
    """
    order = numpy.argsort(-scores, kind="stable")
    costs = numpy.where(frauds[order], -amounts[order], false_alarm).cumsum() + amounts[frauds].sum()
    is_step = numpy.append(scores[order][1:] != scores[order][:-1], True)
    steps = numpy.flatnonzero(is_step)
    best = steps[numpy.argmin(costs[steps])]
    nothing = amounts[frauds].sum()
    if costs[best] >= nothing:
        return 1.0, float(nothing)
    return float(scores[order][best]), float(costs[best])
