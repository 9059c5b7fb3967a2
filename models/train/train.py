"""Trains the fraud model: an encoder, a starting bank, and how to read their outcome.

    python models/train/train.py --vectors vectors.csv --out models/fraud-v1

`vectors.csv` is what `pinion export features` writes: transaction_id, event_ns, fraud, then the features;
its first line names them, and a comment line before it gives the hash of the feature set.

Days are split by time: warm-up (windows fill), training, a delay in which labels become known, validation
(temperature, calibration) and test (reported only). Fixed seeds and one thread: on one machine, the same vectors
give the same files, byte for byte.
"""

import argparse
import csv
import datetime
import hashlib
import os
import pathlib

# How many threads share a product decides in which order it is summed.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy

import onnx_file

DAY_NS = 86_400_000_000_000
CLIP = (-6.0, 12.0)
HIDDEN = (128, 64)
DIMENSIONS = 16
NEIGHBOURS = 64
GENUINE_SHARE = 0.25


def read_vectors(path):
    """Rows sorted by time: names, event_ns, fraud, vectors; the feature names; the hash of their set."""
    with open(path, newline="", encoding="ascii") as file:
        comment = file.readline().split()
        if comment[:2] != ["#", "feature_set_hash"]:
            raise SystemExit(f"{path}:1: found {' '.join(comment)!r}, expected '# feature_set_hash HEX'")
        rows = csv.reader(file)
        header = next(rows)
        if header[:3] != ["transaction_id", "event_ns", "fraud"]:
            raise SystemExit(f"{path}:2: found {header[:3]}, expected transaction_id,event_ns,fraud")
        table = list(rows)
    names = [row[0] for row in table]
    times = numpy.array([int(row[1]) for row in table])
    frauds = numpy.array([int(row[2]) for row in table], dtype=bool)
    vectors = numpy.array([row[3:] for row in table], dtype=numpy.float32)
    return names, times, frauds, vectors, header[3:], comment[2]


class Network:
    """Dense layers with relu between, the last one scaled to length 1, and a logistic head."""

    def __init__(self, inputs, seed):
        random = numpy.random.default_rng(seed)
        sizes = (inputs, *HIDDEN, DIMENSIONS)
        self.parameters = []
        for fan_in, fan_out in zip(sizes, sizes[1:]):
            self.parameters.append(random.normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in)))
            self.parameters.append(numpy.zeros(fan_out))
        self.parameters += [random.normal(0, 1, DIMENSIONS), numpy.array(-3.0)]
        self.parameters = [parameter.astype(numpy.float32) for parameter in self.parameters]

    def layers(self):
        body = self.parameters[:-2]
        return list(zip(body[::2], body[1::2]))

    def forward(self, x):
        hidden = [x]
        layers = self.layers()
        for index, (weights, bias) in enumerate(layers):
            x = x @ weights.T + bias
            if index < len(layers) - 1:
                x = numpy.maximum(x, 0)
                hidden.append(x)
        length = numpy.sqrt((x * x).sum(1, keepdims=True) + 1e-12)
        return hidden, x / length, length

    def embed(self, x):
        parts = range(0, len(x), 16384)
        return numpy.concatenate([self.forward(x[start : start + 16384])[1] for start in parts])

    def probability(self, unit):
        """What the head says of embeddings."""
        head, intercept = self.parameters[-2:]
        return 1 / (1 + numpy.exp(-numpy.clip(4 * (unit @ head) + intercept, -60, 60)))

    def gradients(self, x, targets, weights):
        hidden, unit, length = self.forward(x)
        error = weights * (self.probability(unit) - targets) / weights.sum()
        grads = [4 * unit.T @ error, error.sum()]
        d_unit = 4 * error[:, None] * self.parameters[-2]
        delta = (d_unit - unit * (d_unit * unit).sum(1, keepdims=True)) / length
        layers = self.layers()
        for index in reversed(range(len(layers))):
            grads = [delta.T @ hidden[index], delta.sum(0), *grads]
            if index:
                delta = (delta @ layers[index][0]) * (hidden[index] > 0)
        return grads


def fit(x, frauds, seed, epochs=20, batch=512, rate=2e-3):
    """Cross-entropy over all frauds and a part of the rest, which counts for the whole; Adam, decaying rate."""
    network = Network(x.shape[1], seed)
    random = numpy.random.default_rng(seed + 1)
    kept = frauds | (random.random(len(x)) < GENUINE_SHARE)
    x, targets = x[kept], frauds[kept].astype(numpy.float32)
    weights = numpy.where(frauds[kept], 1, 1 / GENUINE_SHARE).astype(numpy.float32)
    moments = [(numpy.zeros_like(p), numpy.zeros_like(p)) for p in network.parameters]
    step, steps = 0, epochs * -(-len(x) // batch)
    for _ in range(epochs):
        order = random.permutation(len(x))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            current = numpy.float32(rate * 0.5 * (1 + numpy.cos(numpy.pi * step / steps)))
            step += 1
            grads = network.gradients(x[rows], targets[rows], weights[rows])
            for index, gradient in enumerate(grads):
                first, second = moments[index]
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient * gradient
                moments[index] = first, second
                first, second = first / (1 - 0.9**step), second / (1 - 0.999**step)
                change = current * first / (numpy.sqrt(second) + 1e-8)
                network.parameters[index] = (network.parameters[index] - change).astype(numpy.float32)
    return network


def thinned(rows, chances, wanted, random):
    """About `wanted` of the rows, each drawn with a probability in proportion to its chance; and their weights,
    one over that probability, so that sums over the drawn rows stand for sums over all."""
    drawn = numpy.minimum(1, chances * wanted / chances.sum())
    for _ in range(30):
        drawn = numpy.minimum(1, drawn * min(wanted, len(rows)) / drawn.sum())
    kept = random.random(len(rows)) < drawn
    return rows[kept], 1 / drawn[kept]


def choose_bank(rows, frauds, probability, wanted, random):
    """Rows and weights of the bank, in the order of time: half frauds, half genuine cases, denser where the two
    meet, because there the vote is decided."""
    frauds_chosen = thinned(rows[frauds], numpy.maximum(1 - probability[frauds], 0.01) ** 0.5, wanted // 2, random)
    genuine = probability[~frauds]
    genuine_chosen = thinned(rows[~frauds], numpy.maximum(genuine, 1e-5) ** 0.7, wanted // 2, random)
    chosen, weights = (numpy.concatenate(pair) for pair in zip(frauds_chosen, genuine_chosen))
    order = numpy.argsort(chosen)
    return chosen[order], weights[order]


def shares(queries, bank, temperature=None):
    """Share of fraud among the neighbours' votes of each query; without a temperature, the distances."""
    embeddings, weights, labels = bank
    out = []
    for start in range(0, len(queries), 2048):
        similarity = queries[start : start + 2048] @ embeddings.T
        nearest = numpy.argpartition(-similarity, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        distance = 1 - numpy.take_along_axis(similarity, nearest, 1)
        if temperature is None:
            out.append(numpy.median(distance, axis=1))
            continue
        votes = weights[nearest] * numpy.exp(-distance / temperature)
        out.append((votes * labels[nearest]).sum(1) / votes.sum(1))
    return numpy.concatenate(out)


def logit(share):
    """Of a share kept from 0 and 1 by the same margin as in engine/score/src/scorer.rs."""
    share = numpy.clip(share, 1e-3, 1 - 1e-3)
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


def ranking_metrics(scores, frauds):
    """Area under the ROC curve and average precision; cases of equal score count as one step, half for the area."""
    _, group, sizes = numpy.unique(-scores, return_inverse=True, return_counts=True)
    hits = numpy.bincount(group, weights=frauds)
    hits_so_far, seen_so_far = hits.cumsum(), sizes.cumsum()
    misses = sizes - hits
    area = (misses * (hits_so_far - hits / 2)).sum() / (misses.sum() * hits.sum())
    return area, (hits * hits_so_far / seen_so_far).sum() / hits.sum()


def manifest(args, features, feature_set_hash, files, bank_rows, temperature, calibration, metrics, days):
    """The text of manifest.toml."""
    sha256 = {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    lines = [
        "# Written by models/train/train.py; engine/score/src/manifest.rs says what each key means.",
        f'name = "{args.name}"',
        f"version = {args.version}",
        f'trained_on = "{days}"',
        "features = [" + ", ".join(f'"{feature}"' for feature in features) + "]",
        f'feature_set_hash = "{feature_set_hash}"',
        "",
        "[encoder]",
        'file = "encoder.onnx"',
        f'sha256 = "{sha256["encoder.onnx"]}"',
        'input = "features"',
        'output = "embedding"',
        f"dimensions = {DIMENSIONS}",
        "",
        "[bank]",
        'file = "bank.bin"',
        f'sha256 = "{sha256["bank.bin"]}"',
        f"rows = {bank_rows}",
        f"neighbours = {NEIGHBOURS}",
        f"temperature = {temperature:.6g}",
        "",
        "[calibration]",
        f"slope = {calibration[0]:.6f}",
        f"intercept = {calibration[1]:.6f}",
        "",
        "[metrics]",
        *[f"{name} = {value}" for name, value in metrics.items()],
    ]
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--name", default="fraud-v1")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--warm-up-days", type=int, default=38)
    parser.add_argument("--train-days", type=int, default=84)
    parser.add_argument("--delay-days", type=int, default=7)
    parser.add_argument("--validation-days", type=int, default=7)
    parser.add_argument("--test-days", type=int, default=14)
    parser.add_argument("--bank-rows", type=int, default=5000, help="about this many")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def split(times, args):
    """Masks of training, validation and test rows, and the first and last day of training."""
    day = times // DAY_NS - times[0] // DAY_NS
    start = args.warm_up_days
    masks = []
    for length, gap in ((args.train_days, args.delay_days), (args.validation_days, 0), (args.test_days, 0)):
        masks.append((day >= start) & (day < start + length))
        start += length + gap
    if not all(mask.any() for mask in masks):
        raise SystemExit(f"the vectors span {day[-1] + 1} days, expected at least {start}")
    first = datetime.datetime.fromtimestamp(times[masks[0]][0] / 1e9, datetime.timezone.utc).date()
    last = datetime.datetime.fromtimestamp(times[masks[0]][-1] / 1e9, datetime.timezone.utc).date()
    return masks, f"{first} to {last}"


def main():
    args = arguments()
    names, times, frauds, vectors, features, feature_set_hash = read_vectors(args.vectors)
    (train, validation, test), days = split(times, args)
    mean, deviation = vectors[train].mean(0, dtype=float), vectors[train].std(0, dtype=float)
    scale = 1 / numpy.maximum(deviation, 1e-6)
    mean, scale = mean.astype(numpy.float32), scale.astype(numpy.float32)
    normalised = lambda mask: numpy.clip((vectors[mask] - mean) * scale, *CLIP)
    network = fit(normalised(train), frauds[train], args.seed)

    rows, random = numpy.flatnonzero(train), numpy.random.default_rng(args.seed + 2)
    probability = network.probability(network.embed(normalised(train)))
    bank_rows, weights = choose_bank(rows, frauds[rows], probability, args.bank_rows, random)
    embeddings, labels = network.embed(normalised(bank_rows)), frauds[bank_rows]
    bank = embeddings, weights, labels.astype(float)

    queries = network.embed(normalised(validation))
    temperature = max(2 * float(numpy.median(shares(queries, bank))), 1e-4)
    calibration = platt(logit(shares(queries, bank, temperature)), frauds[validation].astype(float))
    scores = calibrated(shares(network.embed(normalised(test)), bank, temperature), *calibration)
    area, precision = ranking_metrics(scores, frauds[test])
    metrics = {
        "test_transactions": int(test.sum()),
        "test_frauds": int(frauds[test].sum()),
        "auc_roc": round(float(area), 4),
        "average_precision": round(float(precision), 4),
    }
    files = {
        "encoder.onnx": onnx_file.encoder(mean, scale, CLIP, network.layers()),
        "bank.bin": onnx_file.bank(embeddings, weights, labels, [names[row] for row in bank_rows]),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (args.out / name).write_bytes(body)
    text = manifest(
        args, features, feature_set_hash, files, len(bank_rows), temperature, calibration, metrics, days
    )
    (args.out / "manifest.toml").write_text(text, encoding="ascii")
    print(f"{args.out}: " + ", ".join(f"{name} {value}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
