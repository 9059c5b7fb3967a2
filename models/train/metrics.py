"""How well scores rank: AUC, average precision, card precision@100."""

import numpy


def ranking_metrics(scores, frauds):
    """Area under the ROC curve and average precision; cases of equal score count as one step, half for the area."""
    _, group, sizes = numpy.unique(-scores, return_inverse=True, return_counts=True)
    hits = numpy.bincount(group, weights=frauds)
    hits_so_far, seen_so_far = hits.cumsum(), sizes.cumsum()
    misses = sizes - hits
    area = (misses * (hits_so_far - hits / 2)).sum() / (misses.sum() * hits.sum())
    return area, (hits * hits_so_far / seen_so_far).sum() / hits.sum()


def card_precision(scores, frauds, cards, days, top=100):
    """Mean over the days of the share of compromised cards among the `top` cards of the day.

    A card counts with its highest score of the day, and as compromised if any of its transactions of the day is a
    fraud. A card that was found so leaves the days after. Equal scores: the card with the lower number first.
    """
    found, shares = numpy.zeros(cards.max() + 1, bool), []
    for day in numpy.unique(days):
        rows = numpy.flatnonzero((days == day) & ~found[cards])
        present, place = numpy.unique(cards[rows], return_inverse=True)
        best, bad = numpy.full(len(present), -numpy.inf), numpy.zeros(len(present), bool)
        numpy.maximum.at(best, place, scores[rows])
        numpy.logical_or.at(bad, place, frauds[rows])
        first = numpy.argsort(-best, kind="stable")[:top]
        shares.append(bad[first].sum() / top)
        found[present[first[bad[first]]]] = True
    return float(numpy.mean(shares))


def all_metrics(scores, frauds, cards, days):
    """AUC, average precision, card precision@100."""
    return (*ranking_metrics(scores, frauds), card_precision(scores, frauds, cards, days))
