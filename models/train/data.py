"""Reads labelled vectors: what `pinion export features` writes, or any Parquet table by a description of its columns.

The description is the table [columns] of the settings, for data that has not passed through the engine:

    [columns]
    time = "Time"            # seconds since the first row, or a timestamp
    label = "Class"          # above 0 is fraud
    amount = "Amount"        # optional, one of the features, in currency units: what a missed fraud costs
    features = ["V1", "Amount"]
"""

import csv
import dataclasses
import hashlib
import pathlib

import numpy

DAY_NS = 86_400_000_000_000
NEVER_NS = numpy.iinfo(numpy.int64).max
ROW_COLUMNS = ["transaction_id", "sequence", "event_ns", "label", "label_known_ns"]
HASH_KEY = b"pinion.feature_set_hash"


@dataclasses.dataclass
class Vectors:
    """Rows in the order of time."""

    ids: numpy.ndarray  # [rows] text
    times: numpy.ndarray  # [rows] int64, ns since 1970 UTC
    frauds: numpy.ndarray  # [rows] bool; never labelled is genuine
    x: numpy.ndarray  # [rows, features] f32
    features: list  # names of the features
    feature_set_hash: str  # 16 hexadecimal digits
    amounts: numpy.ndarray  # [rows] currency units; 1 where no amount is known

    def days(self):
        """[rows] whole UTC days since that of the first row."""
        return self.times // DAY_NS - self.times[0] // DAY_NS


def read(path, description=None):
    """Vectors of a Parquet file, a folder of them, or a CSV file of the export."""
    path = pathlib.Path(path)
    if description is not None:
        return read_table(path, description)
    return read_csv(path) if path.suffix == ".csv" else read_export(path)


def read_export(path):
    """Vectors of the Parquet that `pinion export features` writes."""
    from pyarrow import dataset

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise SystemExit(f"{path}: no Parquet files, expected a folder that `pinion export features` wrote")
    source = dataset.dataset([str(file) for file in files], format="parquet")
    if source.schema.names[: len(ROW_COLUMNS)] != ROW_COLUMNS or HASH_KEY not in (source.schema.metadata or {}):
        raise SystemExit(f"{path}: not of `pinion export features`; other tables need [columns] in the settings")
    features = source.schema.names[len(ROW_COLUMNS) :]
    table = source.to_table(columns=["transaction_id", "event_ns", "label", *features], use_threads=False)
    times = table["event_ns"].cast("int64").to_numpy()
    order = numpy.argsort(times, kind="stable")
    x = numpy.empty((len(times), len(features)), numpy.float32)
    for index, name in enumerate(features):
        x[:, index] = table[name].to_numpy()[order]
    return Vectors(
        table["transaction_id"].to_numpy()[order].astype(str),
        times[order],
        table["label"].fill_null(0).to_numpy()[order] > 0,
        x,
        features,
        source.schema.metadata[HASH_KEY].decode(),
        amounts_of(x, features),
    )


def read_csv(path):
    """Vectors of the CSV that `pinion export features` writes."""
    with open(path, newline="", encoding="ascii") as file:
        comment = file.readline().split()
        if comment[:2] != ["#", "feature_set_hash"]:
            raise SystemExit(f"{path}:1: found {' '.join(comment)!r}, expected '# feature_set_hash HEX'")
        rows = csv.reader(file)
        header = next(rows)
        if header[:3] != ["transaction_id", "event_ns", "fraud"]:
            raise SystemExit(f"{path}:2: found {header[:3]}, expected transaction_id,event_ns,fraud")
        table = list(rows)
    x = numpy.array([row[3:] for row in table], dtype=numpy.float32)
    times = numpy.array([int(row[1]) for row in table])
    frauds = numpy.array([int(row[2]) for row in table], dtype=bool)
    ids = numpy.array([row[0] for row in table])
    return Vectors(ids, times, frauds, x, header[3:], comment[2], amounts_of(x, header[3:]))


def read_table(path, description):
    """Vectors of a table whose columns the description names; its hash is that of their names."""
    from pyarrow import parquet

    unknown = set(description) - {"time", "label", "amount", "features"}
    if unknown:
        raise SystemExit(f"columns: unknown key {min(unknown)}, expected time, label, amount and features")
    time, label, features = (description[key] for key in ("time", "label", "features"))
    table = parquet.read_table(path, columns=list(dict.fromkeys([time, label, *features])), use_threads=False)
    seconds = table[time].to_numpy()
    is_timestamp = numpy.issubdtype(seconds.dtype, numpy.datetime64)
    times = seconds.astype("datetime64[ns]").astype("i8") if is_timestamp else (seconds * 1e9).astype("i8")
    order = numpy.argsort(times, kind="stable")
    x = numpy.stack([table[name].to_numpy()[order].astype("f4") for name in features], 1)
    amount = description.get("amount")
    amounts = x[:, features.index(amount)].astype(float) if amount else numpy.ones(len(x))
    digits = hashlib.sha256("\n".join(features).encode()).hexdigest()[:16]
    return Vectors(order.astype(str), times[order], table[label].to_numpy()[order] > 0, x, features, digits, amounts)


def amounts_of(x, features):
    """Currency units of the feature `amount_minor`, 1 without it."""
    if "amount_minor" not in features:
        return numpy.ones(len(x))
    return x[:, features.index("amount_minor")].astype(float) / 100
