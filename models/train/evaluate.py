"""Measures a model on vectors that it was not trained on, by its files alone.

    python models/train/evaluate.py --model models/fraud-v2 --features vectors --from-day 136 --days 14

`--only ids.txt` keeps the transactions whose ids the file lists, one per line: the test set of a fold.
"""

import argparse
import os
import pathlib

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy

import data
import metrics
import model
import settings


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--features", "--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--config", type=pathlib.Path, help="settings that name the columns; see settings.py")
    parser.add_argument("--from-day", type=int, default=0)
    parser.add_argument("--days", type=int, default=10**6)
    parser.add_argument("--only", type=pathlib.Path, action="append", default=[], help="may be given repeatedly")
    return parser.parse_args()


def main():
    args = arguments()
    vectors = data.read(args.features, settings.read(args.config).columns)
    trained = model.read(args.model, vectors.feature_set_hash)
    day = vectors.days()
    chosen = (day >= args.from_day) & (day < args.from_day + args.days)
    masks = [chosen & numpy.isin(vectors.ids, path.read_text().split()) for path in args.only] or [chosen]
    for mask, source in zip(masks, args.only or [args.features]):
        scores, frauds = trained.scores(vectors.x[mask]), vectors.frauds[mask]
        area, precision = metrics.ranking_metrics(scores, frauds)
        print(f"{source}: {mask.sum()} transactions, {frauds.sum()} frauds, AUC {area:.4f}, AP {precision:.4f}")
        for at in (0.3, 0.7):
            found = scores >= at
            print(f"  score >= {at}: {found.sum()}, frauds among them {(found & frauds).sum()}")


if __name__ == "__main__":
    main()
