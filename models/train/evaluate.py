"""Measures a model on vectors that it was not trained on, by its files alone.

    python models/train/evaluate.py --model models/fraud-v1 --vectors other.csv --from-day 38 --days 14

`--only ids.txt` keeps the transactions whose ids the file lists, one per line: the test set of a fold.
"""

import argparse
import pathlib
import tomllib

import numpy

import onnx_file
import train


def embed(encoder, vectors):
    mean, scale, clip, layers = encoder
    network = train.Network(len(mean), 0)
    network.parameters[:-2] = [parameter for layer in layers for parameter in layer]
    return network.embed(numpy.clip((vectors - mean) * scale, *clip))


def scores(folder, feature_set_hash, vectors):
    """The calibrated score of each vector."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text())
    if manifest["feature_set_hash"] != feature_set_hash:
        found = manifest["feature_set_hash"]
        raise SystemExit(f"{folder}: feature_set_hash is {found}, expected {feature_set_hash} as of the vectors")
    encoder = onnx_file.read_encoder((folder / manifest["encoder"]["file"]).read_bytes())
    bank = onnx_file.read_bank((folder / manifest["bank"]["file"]).read_bytes())
    share = train.shares(embed(encoder, vectors), bank, manifest["bank"]["temperature"])
    return train.calibrated(share, **manifest["calibration"])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--from-day", type=int, default=0)
    parser.add_argument("--days", type=int, default=10**6)
    parser.add_argument("--only", type=pathlib.Path, action="append", default=[], help="may be given repeatedly")
    return parser.parse_args()


def main():
    args = arguments()
    names, times, frauds, vectors, _, feature_set_hash = train.read_vectors(args.vectors)
    day = times // train.DAY_NS - times[0] // train.DAY_NS
    chosen = (day >= args.from_day) & (day < args.from_day + args.days)
    sets = [set(path.read_text().split()) for path in args.only]
    masks = [chosen & numpy.array([name in ids for name in names]) for ids in sets] or [chosen]
    for mask, source in zip(masks, args.only or [args.vectors]):
        score, fraud = scores(args.model, feature_set_hash, vectors[mask]), frauds[mask]
        area, precision = train.ranking_metrics(score, fraud)
        print(f"{source}: {mask.sum()} transactions, {fraud.sum()} frauds, AUC {area:.4f}, AP {precision:.4f}")
        for at in (0.3, 0.7):
            found = score >= at
            print(f"  score >= {at}: {found.sum()}, frauds among them {(found & fraud).sum()}")


if __name__ == "__main__":
    main()
