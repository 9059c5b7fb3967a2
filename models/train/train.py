"""Trains a fraud model: an encoder, a starting bank, and how to read their outcome.

    python models/train/train.py --features DIR --out models/NAME [--config FILE] [--precision f32|f16|int8]

`DIR` is what `pinion export features` writes: a folder of Parquet, or one Parquet or CSV file. A file of another
origin is described in the settings (`settings.py`).

Rows are split by time: warm-up (windows fill), training, a delay in which labels become known, validation
(temperature, calibration, thresholds, what inputs and scores are like) and test (reported only). The encoder is
measured in each precision, with a bank and a calibration of its own, and written in the wanted one. Fixed seeds and
one thread: on one machine, the same vectors give the same files, byte for byte.
"""

import argparse
import datetime
import math
import os
import pathlib

# How many threads share a product decides in which order it is summed.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy

import calibration
import data
import metrics
import model
import reference
import settings
from precision import PRECISIONS


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


def train_models(vectors, masks, wanted, seed):
    """By precision: the model, and the places of its bank's rows among the vectors. One encoder is trained for all."""
    encoder = model.train_encoder(vectors.x[masks[0]], vectors.frauds[masks[0]], wanted.recipe, seed)
    encoders = {precision: model.in_precision(encoder, precision) for precision in PRECISIONS}
    return {precision: around(encoder, vectors, masks, wanted, seed) for precision, encoder in encoders.items()}


def around(encoder, vectors, masks, wanted, seed):
    """The model of an encoder, and the places of the bank's rows among the vectors."""
    train, validation, _ = masks
    known = train if wanted.split.test_share == 0 else train | validation
    rows = numpy.flatnonzero(known)
    x, frauds = vectors.x[rows], vectors.frauds[rows]
    bank, chosen, admission = model.starting_bank(encoder, x, frauds, wanted.bank.rows, seed)
    fitting = bank if known is train else bank.where(train[rows[chosen]])
    queries, frauds = encoder.embed(vectors.x[validation]), vectors.frauds[validation]
    temperature = model.best_temperature(queries, frauds, fitting, wanted.bank)
    neighbours = min(wanted.bank.neighbours, len(bank.labels))
    shares = model.banks.shares(queries, fitting, neighbours, temperature)
    scales = calibration.platt(calibration.logit(shares), frauds.astype(float))
    as_of_ns = int(vectors.times[rows[-1]])
    found = model.Model(encoder, bank, neighbours, temperature, *scales, admission, as_of_ns, model.usual(x))
    # By the bank without the validation rows, so that the scores are those of cases that it does not hold.
    scores = calibration.calibrated(shares, *scales)
    found.reference = reference.tables(vectors.x[validation], vectors.features, scores)
    return found, rows[chosen]


def alarm_thresholds(vectors, masks, trained, costs):
    """The table [thresholds]: the score to alarm at that was cheapest on the validation rows, cut to what is printed."""
    validation = masks[1]
    frauds, amounts = vectors.frauds[validation], vectors.amounts[validation]
    scores = trained.scores(vectors.x[validation])
    threshold, _ = calibration.cheapest_threshold(scores, frauds, amounts, costs.false_alarm)
    # Down, not to the nearest: the cases with this score alarm.
    return {"alarm": math.floor(threshold * 10_000) / 10_000, "false_alarm_cost": float(costs.false_alarm)}


def measured(vectors, masks, trained, thresholds):
    """The table [metrics]: of the test rows."""
    test = masks[2]
    scores, frauds, amounts = trained.scores(vectors.x[test]), vectors.frauds[test], vectors.amounts[test]
    area, precision = metrics.ranking_metrics(scores, frauds)
    alarm = scores >= thresholds["alarm"]
    cost = amounts[frauds & ~alarm].sum() + thresholds["false_alarm_cost"] * (alarm & ~frauds).sum()
    return {
        "test_transactions": len(frauds),
        "test_frauds": int(frauds.sum()),
        "auc_roc": round(float(area), 4),
        "average_precision": round(float(precision), 4),
        "brier": round(float(((scores - frauds) ** 2).mean()), 6),
        "alarms": int(alarm.sum()),
        "alarms_right": int((alarm & frauds).sum()),
        "cost": round(float(cost), 2),
        "cost_without_alarms": round(float(amounts[frauds].sum()), 2),
    }


def compared(vectors, masks, models, costs):
    """The tables [metrics.f32] and so on: what each precision costs in quality and saves in bytes, on the test rows."""
    x, tables = vectors.x[masks[2]], {}
    exact = models["f32"].encoder.embed(x)
    for precision, trained in models.items():
        found = measured(vectors, masks, trained, alarm_thresholds(vectors, masks, trained, costs))
        tables[precision] = {
            "encoder_bytes": len(model.encoder_file(trained.encoder, len(vectors.features))),
            "auc_roc": found["auc_roc"],
            "average_precision": found["average_precision"],
            "brier": found["brier"],
            "cost": found["cost"],
            "embedding_off_max": float(f"{numpy.abs(exact - trained.encoder.embed(x)).max():.2g}"),
        }
    return tables


def as_table(tables):
    """Lines of Markdown."""
    head = ["precision", *tables["f32"]]
    rows = [head, ["---"] * len(head), *[[name, *map(str, table.values())] for name, table in tables.items()]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


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
    parser.add_argument("--precision", choices=PRECISIONS, help="of the encoder's matrices; over the settings")
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
    models = train_models(vectors, masks, wanted, args.seed)
    trained, rows = models[args.precision or wanted.encoder.precision]
    thresholds = alarm_thresholds(vectors, masks, trained, wanted.costs)
    figures = measured(vectors, masks, trained, thresholds)
    tables = compared(vectors, masks, {name: each for name, (each, _) in models.items()}, wanted.costs)
    times = vectors.times[masks[0]]
    about = {
        "name": args.name or args.out.name,
        "version": args.version,
        "trained_on": f"{date(times[0])} to {date(times[-1])}",
        "features": vectors.features,
        "feature_set_hash": vectors.feature_set_hash,
    }
    in_manifest = {"metrics": figures} | {f"metrics.{name}": table for name, table in tables.items()}
    model.write(args.out, trained, vectors.ids[rows], about, thresholds, in_manifest)
    print(f"{args.out}: " + ", ".join(f"{name} {value}" for name, value in {**figures, **thresholds}.items()))
    print(f"\n{as_table(tables)}")
    if args.beside_trees:
        area, precision = beside_trees(vectors, masks, args.seed)
        print(f"\nXGBoost on the same rows: auc_roc {area:.4f}, average_precision {precision:.4f}")


if __name__ == "__main__":
    main()
