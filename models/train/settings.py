"""What a training is configured by: defaults here, overridden by a TOML file with the same names.

    [columns]     # data.py: only for tables that the engine did not write
    [split]
    [recipe]      # network.py
    [encoder]
    [bank]
    [costs]
"""

import dataclasses
import pathlib
import tomllib

from network import Recipe
from precision import PRECISIONS


@dataclasses.dataclass(frozen=True)
class Split:
    """By time. Days, or shares of the rows in the order of time where `test_share` is above 0."""

    warm_up_days: int = 38  # windows fill
    train_days: int = 84
    delay_days: int = 7  # labels become known
    validation_days: int = 7  # temperature, calibration, thresholds
    test_days: int = 14  # reported only
    test_share: float = 0.0
    validation_share: float = 0.0


@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """The encoder's file."""

    precision: str = "f32"  # of its matrices; f16 and int8 make it smaller: precision.py


@dataclasses.dataclass(frozen=True)
class BankSettings:
    """The starting bank and its vote."""

    rows: int = 10_000  # about this many
    neighbours: int = 256
    # Candidates; the one under which the vote explains the validation rows best is taken.
    temperatures: tuple = (0.005, 0.01, 0.02, 0.05, 0.1)


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of decisions, in currency units. A missed fraud costs its amount."""

    false_alarm: float = 5.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of it."""

    columns: dict | None = None
    split: Split = Split()
    recipe: Recipe = Recipe()
    encoder: EncoderSettings = EncoderSettings()
    bank: BankSettings = BankSettings()
    costs: Costs = Costs()


def read(path=None):
    """The defaults, with what the file says."""
    if path is None:
        return Settings()
    given = tomllib.loads(pathlib.Path(path).read_text())
    kinds = {"split": Split, "recipe": Recipe, "encoder": EncoderSettings, "bank": BankSettings, "costs": Costs}
    unknown = set(given) - set(kinds) - {"columns"}
    if unknown:
        raise SystemExit(f"{path}: unknown table {min(unknown)}, expected one of columns, {', '.join(kinds)}")
    parts = {name: part(path, name, kind, given.get(name, {})) for name, kind in kinds.items()}
    found = parts["encoder"].precision
    if found not in PRECISIONS:
        raise SystemExit(f"{path}: encoder.precision is {found!r}, expected one of {', '.join(PRECISIONS)}")
    return Settings(given.get("columns"), **parts)


def part(path, name, kind, given):
    """One table."""
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = set(given) - known
    if unknown:
        raise SystemExit(f"{path}: unknown key {name}.{min(unknown)}, expected one of {', '.join(sorted(known))}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
