"""Trains a fraud model: an encoder, a starting bank, and how to read their outcome.

    python models/train/train.py --features DIR --out models/NAME [--config FILE]

`DIR` is what `pinion export features` writes: a folder of Parquet, or one Parquet or CSV file. A file of another
origin is described in the settings (`settings.py`).

Rows are split by time: warm-up (windows fill), training, a delay in which labels become known, validation
(temperature, calibration, thresholds) and test (reported only). Fixed seeds and one thread: on one machine, the
same vectors give the same files, byte for byte.
"""

import argparse
import datetime
import os
import pathlib

# How many threads share a product decides in which order it is summed.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy

import calibration
import data
import metrics
import model
import settings


def split(times, plan):
    """Masks of training, validation and test rows."""
    if plan.test_share > 0:
        span = numpy.arange(len(times)) / len(times)
        test, validation = 1 - plan.test_share, 1 - plan.test_share - plan.validation_share
        return span < validation, (span >= validation) & (span < test), span >= test
    day = times // data.DAY_NS - times[0] // data.DAY_NS
    start, masks = plan.warm_up_days, []
    for length, gap in ((plan.train_days, plan.delay_days), (plan.validation_days, 0), (plan.test_days, 0)):
        masks.append((day >= start) & (day < start + length))
        start += length + gap
    if not all(mask.any() for mask in masks):
        raise SystemExit(f"the vectors span {day[-1] + 1} days, expected at least {start}")
    return masks


def date(time_ns):
    """UTC day as 2026-01-31."""
    return datetime.datetime.fromtimestamp(time_ns / 1e9, datetime.timezone.utc).date()


def train_model(vectors, masks, wanted, seed):
    """The model, and the places of the bank's rows among the vectors."""
    train, validation, _ = masks
    encoder = model.train_encoder(vectors.x[train], vectors.frauds[train], wanted.recipe, seed)
    known = train if wanted.split.test_share == 0 else train | validation
    rows = numpy.flatnonzero(known)
    bank, chosen, _ = model.starting_bank(encoder, vectors.x[rows], vectors.frauds[rows], wanted.bank.rows, seed)
    fitting = bank if known is train else bank.where(train[rows[chosen]])
    queries, frauds = encoder.embed(vectors.x[validation]), vectors.frauds[validation]
    temperature = model.best_temperature(queries, frauds, fitting, wanted.bank)
    neighbours = min(wanted.bank.neighbours, len(bank.labels))
    shares = model.banks.shares(queries, fitting, neighbours, temperature)
    slope, intercept = calibration.platt(calibration.logit(shares), frauds.astype(float))
    return model.Model(encoder, bank, neighbours, temperature, slope, intercept), rows[chosen]


def measured(vectors, masks, trained, costs):
    """The table [metrics]: of the test rows, and the threshold that was cheapest on the validation rows."""
    _, validation, test = masks
    scores, frauds, amounts = trained.scores(vectors.x[validation]), vectors.frauds, vectors.amounts
    threshold, _ = calibration.cheapest_threshold(
        scores, frauds[validation], amounts[validation], costs.false_alarm
    )
    scores, frauds, amounts = trained.scores(vectors.x[test]), frauds[test], amounts[test]
    area, precision = metrics.ranking_metrics(scores, frauds)
    alarm = scores >= threshold
    cost = amounts[frauds & ~alarm].sum() + costs.false_alarm * (alarm & ~frauds).sum()
    return {
        "test_transactions": len(frauds),
        "test_frauds": int(frauds.sum()),
        "auc_roc": round(float(area), 4),
        "average_precision": round(float(precision), 4),
        "brier": round(float(((scores - frauds) ** 2).mean()), 6),
        "false_alarm_cost": costs.false_alarm,
        "alarm_threshold": round(threshold, 4),
        "alarms": int(alarm.sum()),
        "alarms_right": int((alarm & frauds).sum()),
        "cost": round(float(cost), 2),
        "cost_without_alarms": round(float(amounts[frauds].sum()), 2),
    }


def beside_trees(vectors, masks, seed):
    """(AUC, average precision) on the test rows of XGBoost, trained on the training and the validation rows."""
    import xgboost

    known, test = masks[0] | masks[1], masks[2]
    parameters = {"objective": "binary:logistic", "nthread": 1, "seed": seed, "tree_method": "hist", "max_bin": 4096}
    parameters |= {"max_depth": 4, "eta": 0.05, "min_child_weight": 10, "colsample_bytree": 0.5, "subsample": 0.8}
    trees = xgboost.train(parameters, xgboost.DMatrix(vectors.x[known], vectors.frauds[known]), 200)
    return metrics.ranking_metrics(trees.predict(xgboost.DMatrix(vectors.x[test])), vectors.frauds[test])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features", "--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--config", type=pathlib.Path, help="settings; see settings.py")
    parser.add_argument("--name", help="of the model; without it the last part of --out")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--beside-trees", action="store_true", help="print what XGBoost reaches on the same rows")
    return parser.parse_args()


def main():
    args = arguments()
    wanted = settings.read(args.config)
    vectors = data.read(args.features, wanted.columns)
    masks = split(vectors.times, wanted.split)
    trained, rows = train_model(vectors, masks, wanted, args.seed)
    figures = measured(vectors, masks, trained, wanted.costs)
    times = vectors.times[masks[0]]
    about = {
        "name": args.name or args.out.name,
        "version": args.version,
        "trained_on": f"{date(times[0])} to {date(times[-1])}",
        "features": vectors.features,
        "feature_set_hash": vectors.feature_set_hash,
    }
    model.write(args.out, trained, vectors.ids[rows], about, figures)
    print(f"{args.out}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    if args.beside_trees:
        area, precision = beside_trees(vectors, masks, args.seed)
        print(f"XGBoost on the same rows: auc_roc {area:.4f}, average_precision {precision:.4f}")


if __name__ == "__main__":
    main()
