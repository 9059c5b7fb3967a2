"""The published protocol of the Fraud Detection Handbook, on features of the engine's own feature store.

    pinion export features --in handbook_raw.parquet --set payments-v2 --out vectors
    python models/train/protocol.py --features vectors --raw handbook_raw.parquet --folds handbook_folds.parquet

Each fold: `--days` of training that end with the fold's training week, a week in which labels become known, a week
of test without the cards that are known to be compromised, as the folds file lists it. What is to be chosen is
chosen on the four validation folds; the four test folds are reported.

- frozen: the bank holds cases of the training days alone.
- living: before each day of test it gets the cases whose labels are known by then, those of up to eight days before.
- head: the logistic head that the encoder was trained with.
- XGBoost: on the same vectors and days, by a recipe for a week of days and by one for more.
- blend: weighted mean of the logits of the living bank's vote and of XGBoost: with the first by equal
  weights, with the other by the weight that the validation folds chose.

Then one encoder and bank serve for many weeks, and what the living bank adds is shown week by week; once as they
are, once where training has seen no fraud of one kind.
"""

import argparse
import dataclasses
import os
import pathlib
import platform

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy
import xgboost
from pyarrow import parquet

import bank as banks
import calibration
import data
import metrics
import model
import settings

VALIDATION_FOLDS, TEST_FOLDS = (80, 87, 94, 101), (115, 122, 129, 136)
DELAY_DAYS = 7
TREES = {  # rounds and parameters
    "XGBoost of few trees": (50, dict(max_depth=3, eta=0.3, tree_method="exact")),
    "XGBoost of many trees": (
        200,
        dict(
            max_depth=4,
            eta=0.05,
            tree_method="hist",
            max_bin=4096,
            min_child_weight=10,
            colsample_bytree=0.5,
            subsample=0.8,
        ),
    ),
}
FAST, SLOW = TREES
BLEND_WEIGHTS = (0.3, 0.5)  # of the vote; the rest is that of the trees
PUBLISHED = [
    ("XGBoost, 7 days, 15 features", 0.869, 0.687, 0.303),
    ("random forest", 0.870, 0.678, 0.299),
    ("logistic regression", 0.868, 0.623, 0.297),
    ("decision tree", 0.797, 0.579, 0.284),
    ("neural network", 0.876, 0.675, 0.303),
    ("LSTM", 0.876, 0.665, 0.297),
    ("LSTM with attention", 0.874, 0.667, 0.295),
    ("convolutional network", 0.872, 0.599, 0.288),
]


@dataclasses.dataclass
class Payments:
    """The vectors with what only the raw file has, in the order of time."""

    vectors: data.Vectors
    customers: numpy.ndarray  # [rows]
    days: numpy.ndarray  # [rows] from 0
    scenarios: numpy.ndarray  # [rows] 1 to 3 of a fraud, 0
    folds: dict  # first day of the training week -> rows of the test

    @property
    def frauds(self):
        return self.vectors.frauds

    def between(self, first, last):
        """Rows of the days from `first` to `last`."""
        return numpy.flatnonzero((self.days >= first) & (self.days <= last))


def read_payments(features, raw, folds):
    """Joins the three by the transactions' ids."""
    vectors = data.read(features)
    raw = parquet.read_table(raw, use_threads=False)
    folds = parquet.read_table(folds, use_threads=False)
    place = numpy.argsort(raw["TRANSACTION_ID"].to_numpy())
    ids = vectors.ids.astype(int)
    place = place[numpy.searchsorted(raw["TRANSACTION_ID"].to_numpy()[place], ids)]
    columns = [raw[name].to_numpy()[place] for name in ("CUSTOMER_ID", "TX_TIME_DAYS", "TX_FRAUD_SCENARIO")]
    if (raw["TX_FRAUD"].to_numpy()[place] != vectors.frauds).any():
        raise SystemExit("the labels of the vectors are not those of the raw file")
    starts, listed = folds["train_start_day"].to_numpy(), folds["TRANSACTION_ID"].to_numpy()
    rows = {int(start): numpy.flatnonzero(numpy.isin(ids, listed[starts == start])) for start in numpy.unique(starts)}
    return Payments(vectors, *columns, rows)


def test_rows(payments, train_end, first):
    """Rows of the week of test that begins on day `first`, without cards known to be compromised.

    Known are frauds of the week up to `train_end`, and those of the days up to eight before the day of the test.
    This is how the folds file was made, and `fold_table` holds it to that. Beyond the folds' three weeks, a card comes
    back 28 days after its fraud became known: it was replaced.
    """
    out = []
    for day in range(first, first + 7):
        known = day - DELAY_DAYS - 1
        bad = payments.between(max(train_end - 6, known - 27), known)
        bad = numpy.unique(payments.customers[bad[payments.frauds[bad]]])
        rows = payments.between(day, day)
        out.append(rows[~numpy.isin(payments.customers[rows], bad)])
    return numpy.concatenate(out)


@dataclasses.dataclass
class Served:
    """An encoder and its bank as of one day."""

    encoder: model.Encoder
    bank: banks.Bank
    admission: banks.Admission
    known_to: int  # last day whose cases the bank may hold


def trained(payments, rows, train_end, wanted, seed):
    """Trains on these rows; their last day is `train_end`."""
    x, frauds = payments.vectors.x[rows], payments.frauds[rows]
    encoder = model.train_encoder(x, frauds, wanted.recipe, seed)
    bank, _, admission = model.starting_bank(encoder, x, frauds, wanted.bank.rows, seed)
    return Served(encoder, bank, admission, train_end)


def living_scores(payments, served, rows, wanted, temperature):
    """Votes for each of the rows, by a bank that grows from day to day; `served` is left as of the last day."""
    out = numpy.zeros(len(rows))
    for day in numpy.unique(payments.days[rows]):
        grow(payments, served, day - DELAY_DAYS - 1, wanted, temperature)
        today = payments.days[rows] == day
        queries = served.encoder.embed(payments.vectors.x[rows[today]])
        out[today] = banks.shares(queries, served.bank, wanted.bank.neighbours, temperature)
    return out


def grow(payments, served, to, wanted, temperature):
    """Admits cases of the days after `known_to` up to `to`; what was thought of them is the bank's vote of then."""
    if to <= served.known_to:
        return
    rows = payments.between(served.known_to + 1, to)
    embeddings = served.encoder.embed(payments.vectors.x[rows])
    share = banks.shares(embeddings, served.bank, wanted.bank.neighbours, temperature)
    chosen, weights = served.admission.draw(payments.frauds[rows], share, numpy.random.default_rng(to))
    served.bank = served.bank.with_rows(embeddings[chosen], weights, payments.frauds[rows[chosen]])
    served.known_to = to


def blended(vote, trees, weight):
    """Weighted mean of the logits; the vote's is held as in a served score."""
    return weight * calibration.logit(vote) + (1 - weight) * calibration.logit(trees, 1e-6)


def fold_scores(payments, start, wanted, args):
    """Scores of the fold's test rows: by name, and those of the similarity by temperature."""
    rows, test = payments.between(start + 7 - args.days, start + 6), payments.folds[start]
    served = trained(payments, rows, start + 6, wanted, args.seed)
    x = payments.vectors.x
    queries = served.encoder.embed(x[test])
    scores = {"encoder head": served.encoder.network.probability(queries)}
    for temperature in wanted.bank.temperatures:
        frozen = banks.shares(queries, served.bank, wanted.bank.neighbours, temperature)
        living = living_scores(payments, dataclasses.replace(served), test, wanted, temperature)
        scores["frozen", temperature], scores["living", temperature] = frozen, living
    known = xgboost.DMatrix(x[rows], payments.frauds[rows], nthread=1)
    for name, (rounds, parameters) in TREES.items():
        common = {"objective": "binary:logistic", "nthread": 1, "seed": args.seed}
        trees = xgboost.train(common | parameters, known, rounds)
        scores[name] = trees.predict(xgboost.DMatrix(x[test], nthread=1))
        for temperature in wanted.bank.temperatures:
            for weight in BLEND_WEIGHTS:
                blend = blended(scores["living", temperature], scores[name], weight)
                scores[name, temperature, weight] = blend
    return scores


def fold_table(payments, wanted, args):
    """Metrics [folds, 3] by name, and the temperature and the weight in the blend that the validation folds chose."""
    table = {}
    for start in VALIDATION_FOLDS + TEST_FOLDS:
        test = payments.folds[start]
        if len(numpy.setxor1d(test, test_rows(payments, start + 6, start + 14))):
            raise SystemExit(f"fold {start}: the folds file lists other transactions than its rule gives")
        about = payments.frauds[test], payments.customers[test], payments.days[test]
        for name, scores in fold_scores(payments, start, wanted, args).items():
            table.setdefault(name, []).append(metrics.all_metrics(scores, *about))
        print(f"fold {start}: {len(test)} transactions, {about[0].sum()} frauds", flush=True)
    table = {name: numpy.array(values) for name, values in table.items()}
    precision = lambda name: table[name][: len(VALIDATION_FOLDS), 1].mean()
    best = max(wanted.bank.temperatures, key=lambda temperature: precision(("frozen", temperature)))
    weight = max(BLEND_WEIGHTS, key=lambda weight: precision((SLOW, best, weight)))
    chosen = {name: values for name, values in table.items() if isinstance(name, str)}
    chosen |= {kind: table[kind, best] for kind in ("frozen", "living")}
    chosen |= {"equal blend": table[FAST, best, 0.5], "chosen blend": table[SLOW, best, weight]}
    return chosen, best, weight


def weeks(payments, wanted, temperature, args, unseen=None, train_end=59):
    """By week: frauds, and (AUC, AP) of the frozen and the living bank, of all frauds or of the unseen kind."""
    rows = payments.between(train_end + 1 - args.days, train_end)
    if unseen is not None:
        rows = rows[payments.scenarios[rows] != unseen]
    served = trained(payments, rows, train_end, wanted, args.seed)
    frozen_bank, out = served.bank, []
    for first in range(train_end + 1 + DELAY_DAYS, payments.days[-1] - 5, 7):
        test = test_rows(payments, train_end, first)
        if unseen is not None:
            test = test[numpy.isin(payments.scenarios[test], (0, unseen))]
        queries = served.encoder.embed(payments.vectors.x[test])
        frozen = banks.shares(queries, frozen_bank, wanted.bank.neighbours, temperature)
        living = living_scores(payments, served, test, wanted, temperature)
        frauds = payments.frauds[test]
        pair = [metrics.ranking_metrics(scores, frauds) for scores in (frozen, living)]
        out.append((first, int(frauds.sum()), len(served.bank.labels), *pair[0], *pair[1]))
        print(f"week of day {first}: AP {pair[0][1]:.4f} frozen, {pair[1][1]:.4f} living", flush=True)
    return out


LABELS = {
    "frozen": "**similarity, frozen bank**",
    "living": "**similarity, living bank**",
    "encoder head": "encoder's head",
    FAST: "XGBoost (1) on the same vectors and days: 50 trees, depth 3, rate 0.3",
    "equal blend": "**blend: living bank and XGBoost (1), equal logits**",
    SLOW: "XGBoost (2) on the same vectors and days: 200 trees, depth 4, rate 0.05",
    "chosen blend": "**blend: living bank and XGBoost (2), weight by validation**",
}


def report(table, chosen, curves, payments, args):
    """The results as Markdown."""
    tests = slice(len(VALIDATION_FOLDS), None)
    cells = lambda values: " | ".join(f"{value:.4f}" for value in values)
    lines = ["# The Fraud Detection Handbook's payments, by its protocol", ""]
    lines += ["As `models/train/protocol.py` printed it: means over the four test folds. Settings were chosen on"]
    lines += ["the validation folds and on days before them. The published rows are the publication's own figures.", ""]
    lines += [f"| {args.days} days of training, set of {payments.vectors.x.shape[1]} features | AUC | AP | CP@100 |"]
    lines += ["|---|---|---|---|"]
    lines += [f"| {label} | {cells(table[name][tests].mean(0))} |" for name, label in LABELS.items()]
    lines += [f"| published: {name} | " + " | ".join(f"{v:.3f}" for v in values) + " |" for name, *values in PUBLISHED]
    lines += ["", "Each fold, AUC / AP / CP@100; folds are named by the first day of their training week:", ""]
    folds = VALIDATION_FOLDS + TEST_FOLDS
    lines += ["| | " + " | ".join(f"{s}{' (validation)' if s in VALIDATION_FOLDS else ''}" for s in folds) + " |"]
    lines += ["|---" * (len(folds) + 1) + "|"]
    for name, label in LABELS.items():
        each = [" / ".join(f"{value:.4f}" for value in values) for values in table[name]]
        lines.append(f"| {label} | " + " | ".join(each) + " |")
    chosen = "temperature {:g}, weight of the vote in the last blend {:g}".format(*chosen)
    lines += ["", f"Chosen on the validation folds: {chosen}."]
    for title, curve in curves.items():
        lines += ["", f"### {title}", ""]
        lines += ["| week from day | frauds | rows of the living bank | frozen AUC | AP | living AUC | AP |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [f"| {first} | {frauds} | {rows} | {cells(values)} |" for first, frauds, rows, *values in curve]
        mean = numpy.array([row[3:] for row in curve]).mean(0)
        lines += [f"| mean | | | {cells(mean)} |"]
    versions = f"Python {platform.python_version()}, numpy {numpy.__version__}, xgboost {xgboost.__version__}"
    lines += ["", f"{versions}, {platform.machine()}, one thread, seed {args.seed};"]
    lines += [f"feature set hash {payments.vectors.feature_set_hash}."]
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features", type=pathlib.Path, required=True)
    parser.add_argument("--raw", type=pathlib.Path, required=True)
    parser.add_argument("--folds", type=pathlib.Path, required=True)
    parser.add_argument("--config", type=pathlib.Path, help="settings; see settings.py")
    parser.add_argument("--days", type=int, default=28, help="of training")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--weeks", action=argparse.BooleanOptionalAction, default=True, help="the curves by week")
    parser.add_argument("--out", type=pathlib.Path, help="file for the tables; they are printed, too")
    return parser.parse_args()


def main():
    args = arguments()
    wanted = settings.read(args.config)
    payments = read_payments(args.features, args.raw, args.folds)
    table, *chosen = fold_table(payments, wanted, args)
    curves = {}
    if args.weeks:
        curves["Weeks after one training, all kinds of fraud"] = weeks(payments, wanted, chosen[0], args)
        title = "The same where training saw no compromised customers; of the frauds, these alone"
        curves[title] = weeks(payments, wanted, chosen[0], args, unseen=3)
    text = report(table, chosen, curves, payments, args)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)


if __name__ == "__main__":
    main()
