"""An encoder with its bank: trained from vectors, asked for scores, written to and read from a folder."""

import copy
import dataclasses
import hashlib
import re
import tomllib

import numpy

import bank as banks
import calibration
import network
import onnx_file
import precision as precisions


@dataclasses.dataclass
class Encoder:
    """From raw features to embeddings."""

    inputs: network.Inputs
    network: network.Network
    precision: str = "f32"  # in which its matrices are stored; they have been rounded to it

    def embed(self, x):
        """[n, features] -> [n, dimensions]."""
        parts = range(0, max(len(x), 1), 16384)
        columns = self.inputs.columns
        return numpy.concatenate([self.network.embed(columns(x[start : start + 16384])) for start in parts])


def train_encoder(x, frauds, recipe, seed):
    """An encoder trained on x [n, features], frauds [n]: all frauds, and a share of the rest that stands for all."""
    random = numpy.random.default_rng(seed)
    kept = frauds | (random.random(len(frauds)) < recipe.genuine_share)
    x, weights = x[kept], numpy.where(frauds[kept], 1, 1 / recipe.genuine_share)
    pieces = recipe.pieces
    inputs = network.ramp_inputs(x, frauds[kept], pieces) if pieces else network.standard_inputs(x)
    return Encoder(inputs, network.fit(inputs, x, frauds[kept], weights, recipe, seed))


def in_precision(encoder, precision):
    """The encoder that is read back from a file of this precision, with the same head."""
    rounded = copy.copy(encoder.network)
    rounded.parameters = list(encoder.network.parameters)
    for index in range(0, len(rounded.parameters) - 2, 2):
        rounded.parameters[index] = precisions.rounded(rounded.parameters[index], precision)
    return Encoder(encoder.inputs, rounded, precision)


def usual(x):
    """Mean and standard deviation of each feature of x [n, features]; what never varies deviates in steps of one."""
    deviation = x.std(0, dtype=float)
    return x.mean(0, dtype=float), numpy.where(deviation > 1e-6, deviation, 1)


def starting_bank(encoder, x, frauds, wanted, seed):
    """A bank drawn from these cases, the places of its rows among them, and the admission they were drawn by."""
    embeddings = encoder.embed(x)
    probability = encoder.network.probability(embeddings)
    admission = banks.admission(frauds, probability, wanted)
    chosen, weights = admission.draw(frauds, probability, numpy.random.default_rng(seed + 2))
    return banks.Bank(embeddings[chosen], weights, frauds[chosen].astype("f4")), chosen, admission


def best_temperature(queries, frauds, bank, settings):
    """Of the candidates, the one under which the vote explains the labels best after Platt scaling."""

    def loss(temperature):
        x = calibration.logit(banks.shares(queries, bank, settings.neighbours, temperature))
        slope, intercept = calibration.platt(x, frauds.astype(float))
        return numpy.logaddexp(0, numpy.where(frauds, -1, 1) * (slope * x + intercept)).sum()

    return min(settings.temperatures, key=loss)


@dataclasses.dataclass
class Model:
    """All that scores need."""

    encoder: Encoder
    bank: banks.Bank
    neighbours: int
    temperature: float
    slope: float
    intercept: float
    admission: banks.Admission | None = None  # by which the bank's rows were drawn
    as_of_ns: int | None = None  # event time of the last case that could be drawn
    usual: tuple | None = None  # mean and deviation of each feature: what is far from it is a reason
    reference: dict | None = None  # what inputs and scores were like: `tables` of reference.py

    def shares(self, x):
        """[n] share of fraud among the votes."""
        return banks.shares(self.encoder.embed(x), self.bank, self.neighbours, self.temperature)

    def scores(self, x):
        """[n] probability of fraud."""
        return calibration.calibrated(self.shares(x), self.slope, self.intercept)


def encoder_file(encoder, features):
    """The bytes of encoder.onnx."""
    return onnx_file.encoder(encoder.inputs, features, encoder.network.layers(), encoder.precision)


def write(folder, model, names, about, thresholds, metrics):
    """The files of a model. `names` are the ids of the bank's rows; `about` the first keys of the manifest."""
    files = {
        "encoder.onnx": encoder_file(model.encoder, len(about["features"])),
        "bank.bin": onnx_file.bank(model.bank, names),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    tables = manifest_tables(model, {name: hashlib.sha256(body).hexdigest() for name, body in files.items()})
    tables |= {"thresholds": thresholds} | metrics | (model.reference or {})
    lines = ["# Written by models/train/train.py; engine/score/src/manifest.rs says what each key means."]
    lines += [f"{key} = {toml_value(value)}" for key, value in about.items()]
    for table, content in tables.items():
        lines += ["", f"[{table}]", *[f"{toml_key(key)} = {toml_value(value)}" for key, value in content.items()]]
    (folder / "manifest.toml").write_text("\n".join(lines) + "\n", encoding="ascii")


def manifest_tables(model, sha256):
    """The tables of the manifest that say how to read the files."""
    return {
        "encoder": {
            "file": "encoder.onnx",
            "sha256": sha256["encoder.onnx"],
            "input": "features",
            "output": "embedding",
            "dimensions": model.bank.embeddings.shape[1],
            "precision": model.encoder.precision,
        },
        "bank": {
            "file": "bank.bin",
            "sha256": sha256["bank.bin"],
            "rows": len(model.bank.labels),
            "neighbours": model.neighbours,
            "temperature": float(f"{model.temperature:.6g}"),
            "as_of_ns": model.as_of_ns,
        },
        "bank.admission": {
            "fraud_factor": float(f"{model.admission.fraud_factor:.6g}"),
            "genuine_factor": float(f"{model.admission.genuine_factor:.6g}"),
        },
        "reasons": {
            "mean": [float(f"{value:.6g}") for value in model.usual[0]],
            "deviation": [float(f"{value:.6g}") for value in model.usual[1]],
        },
        "calibration": {"slope": round(float(model.slope), 6), "intercept": round(float(model.intercept), 6)},
    }


def toml_key(name):
    """As it is if it may stand so, else as a string."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml_value(name)


def toml_value(value):
    """Text of a number, a string, or a list or table of them."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def read(folder, feature_set_hash):
    """The model of a folder, refused if it was trained on other features."""
    manifest = tomllib.loads((folder / "manifest.toml").read_text())
    if manifest["feature_set_hash"] != feature_set_hash:
        found = manifest["feature_set_hash"]
        raise SystemExit(f"{folder}: feature_set_hash is {found}, expected {feature_set_hash} as of the vectors")
    stored = manifest["encoder"]
    inputs, layers = onnx_file.read_encoder((folder / stored["file"]).read_bytes())
    bank = onnx_file.read_bank((folder / manifest["bank"]["file"]).read_bytes())
    vote, scale = manifest["bank"], manifest["calibration"]
    encoder = Encoder(inputs, network.Network.of(layers), stored.get("precision", "f32"))
    admission = banks.Admission(**vote["admission"]) if "admission" in vote else None
    scales = scale["slope"], scale["intercept"]
    return Model(encoder, bank, vote["neighbours"], vote["temperature"], *scales, admission, vote.get("as_of_ns"))
