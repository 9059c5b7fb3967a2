//! Examples below the help of each command: lines that can be copied.

/// The program.
pub const PINION: &str = "\
Examples:
  pinion demo                                        everything at work, in one command
  pinion run --config pinion.toml                    an engine, until Ctrl-C
  pinion publish generated:payments --rate 5000      payments into its bus
  pinion listen --output json                        its decisions, one JSON object per line
  pinion help publish                                more about one command";

/// `demo`.
pub const DEMO: &str = "\
Examples:
  pinion demo
  pinion demo --days 90 --customers 2000 --keep demo-day";

/// `run`.
pub const RUN: &str = "\
Examples:
  pinion run
  pinion run --config pinion.toml --set journal.gate=durable
  PINION_CORES__CORES_MAX=2 pinion run --output json

SIGTERM and Ctrl-C close the intake, let everything inside be decided and journaled, and print the accounts; \
a second one ends at once, and the journal brings back what was inside.";

/// `check`.
pub const CHECK: &str = "\
Examples:
  pinion check
  pinion check --config pinion.toml && pinion run --config pinion.toml

Exit codes: 0 all is well, 1 something was found, 3 the configuration was refused.";

/// `publish`.
pub const PUBLISH: &str = "\
Examples:
  pinion publish generated:payments --limit 10000
  pinion publish payments.csv --rate 5000
  pinion publish day.dbn.zst --speed 10 --output json
  pinion publish payments.csv --session 7 --skip 2000000     go on where session 7 stopped";

/// `listen`.
pub const LISTEN: &str = "\
Examples:
  pinion listen
  pinion listen --lane payments --limit 100
  pinion listen --output json --idle 5 > decisions.jsonl

A decision that an engine publishes again after a restart is shown once. Events that ask for no answer have no \
decision here, so the sequences of a lane may leave numbers out.";

/// `generate`.
pub const GENERATE: &str = "\
Examples:
  pinion generate payments --out payments.csv --customers 5000 --days 183
  pinion generate market --out market.csv --events 1000000

The same arguments give the same bytes on every machine.";

/// `export`.
pub const EXPORT: &str = "\
Examples:
  pinion export features --dir pinion-data --from 2026-01-31 --to 2026-02-28 --out training
  pinion generate payments --out payments.csv
  pinion export features --in payments.csv --set payments-v2 --out features.csv";

/// `features`.
pub const FEATURES: &str = "\
Examples:
  pinion features list                                       the set that the configuration names
  pinion features explain customer_mean_minor_7d             what one of them is, in words
  pinion features check features/payments-attempts.toml      a file, before an engine gets it
  pinion features get --entity customer=123                  an entity's values in a running engine

A feature set is a TOML file; docs/features.md of the source shows how one is written.";

/// `features check`.
pub const FEATURES_CHECK: &str = "\
Examples:
  pinion features check
  pinion features check features/payments-attempts.toml
  pinion features check mine.toml --set features.devices.entities_max=1000000

Exit codes: 0 the set is well, 1 the configuration has too little memory for it, 3 the set was refused.";

/// `features list`.
pub const FEATURES_LIST: &str = "\
Examples:
  pinion features list
  pinion features list features/payments-attempts.toml --output json";

/// `features explain`.
pub const FEATURES_EXPLAIN: &str = "\
Examples:
  pinion features explain terminal_fraud_share_30d
  pinion features explain device_declined_10m features/payments-attempts.toml";

/// `features schema`.
pub const FEATURES_SCHEMA: &str = "\
Examples:
  pinion features schema > feature-set.schema.json

A set whose first line is `#:schema ./feature-set.schema.json` is then completed and checked as it is typed, by \
editors with a TOML language server (Taplo, Even Better TOML).";

/// `features get`.
pub const FEATURES_GET: &str = "\
Examples:
  pinion features get --entity customer=123
  pinion features get --entity customer=123 --entity terminal=55 --watch 1
  pinion features get --entity device=tablet-7 --as-of 2026-01-31T12:00:00Z --output json

The values are those that a transaction would get then, before it is counted itself; what compares that \
transaction itself with its history is left out. They are read from the replica beside the engine, never from the engine's own thread. Exit codes: 0 done, 1 an entity is not known, \
2 no engine answers.";

/// `features backfill`.
pub const FEATURES_BACKFILL: &str = "\
Examples:
  pinion features backfill                     the set that features.set names now
  pinion features backfill mine.toml --dir /var/lib/pinion
  pinion features backfill mine.toml --from 2026-01-31

The set in force serves until the new one has caught up. The new one must begin with the features of the model.";

/// `features digest`.
pub const FEATURES_DIGEST: &str = "\
Examples:
  pinion features digest
  pinion features digest --dir /var/lib/pinion --output json

Two engines that took the same payments under the same feature set and table sizes have the same digest, restarted \
or not.";

/// `features compare`.
pub const FEATURES_COMPARE: &str = "\
Examples:
  pinion features compare --raw handbook_raw.parquet --published handbook_features.parquet

Exit codes: 0 every value is equal, 1 some are not.";

/// `model`.
pub const MODEL: &str = "\
Examples:
  pinion model explain --event 8f3a-000021 --config pinion.toml
  pinion model train --features training --out models/mine
  pinion model compare --model models/mine --config pinion.toml --out report.html
  pinion model swap models/mine --config pinion.toml

models/README.md of the source says how a model is trained and measured.";

/// `model explain`.
pub const MODEL_EXPLAIN: &str = "\
Examples:
  pinion model explain --event 8f3a-000021
  pinion model explain --sequence 120000 --journal backup/journal --output json

Exit codes: 0 the recorded score, 1 another one (another model, or one that has changed) or no such payment, 4 the \
journal is corrupt.";

/// `model train`.
pub const MODEL_TRAIN: &str = "\
Examples:
  pinion export features --dir pinion-data --from 2026-01-31 --to 2026-05-01 --out training
  pinion model train --features training --out models/mine --precision f16

The first run makes the Python environment and needs a package index. Exit codes: 0 trained, 1 the trainer refused or \
failed, 2 no trainer, Python, packages or vectors.";
/// `model swap`.
pub const MODEL_SWAP: &str = "\
Examples:
  pinion model swap models/mine --config pinion.toml
  pinion model swap models/fraud-v2 --dir /var/lib/pinion
  pinion model swap                            the model that score.model names now

The model in force scores until the new one has caught up, and no payment waits. What was scored by which model is noted \
beside the journal, in models.jsonl: a restart goes on with the new one, and a replay needs the folders of both. Exit \
codes: 0 done, 2 refused, or no engine answers.";

/// `model compare`.
pub const MODEL_COMPARE: &str = "\
Examples:
  pinion model compare --model models/mine --out report.html
  pinion model compare --journal backup/journal --model models/mine,features/payments-v2.toml --recorded
  pinion model compare --from 2026-01-08 --to 2026-02-01 --label-days 7 --output json

The page needs no network. docs/models.md of the source says how each figure is defined.

Exit codes: 0 compared, 1 the champion gives recorded decisions another score, or nothing could be measured, 4 the \
journal is corrupt.";

/// `model bench`.
pub const MODEL_BENCH: &str = "\
Examples:
  pinion model bench
  pinion model bench --device cuda --json results.jsonl
  pinion model bench --batch 1,32 --rows 100000 --model models/mine

cuda needs a program built with the feature \"cuda\", what `cargo xtask setup --gpu` fetches, and a GPU; docs/models.md of \
the source says how. PyTorch takes part where PINION_RIVALS_PYTHON, or python3, has it.

Exit codes: 0 measured, 2 the device cannot be used, 5 similarities are off by more than 1e-5.";

/// `replay`.
pub const REPLAY: &str = "\
Examples:
  pinion replay --config pinion.toml --verify
  pinion replay --journal backup/journal --output json

Exit codes: 0 the same decisions, 1 others, 4 the journal is corrupt.";

/// `lab`.
pub const LAB: &str = "\
Examples:
  pinion lab run --smoke
  pinion lab run --rate 200000 --seconds 10 --out results.jsonl
  pinion lab run --only 'whole engine' --set journal.fsync=never";

/// `stat`.
pub const STAT: &str = "\
Examples:
  pinion stat --config pinion.toml
  pinion stat --set engine.dir=/var/lib/pinion --output json";

/// `dead-letters`.
pub const DEAD_LETTERS: &str = "\
Examples:
  pinion dead-letters --config pinion.toml
  pinion dead-letters --output json | head";

/// `config`.
pub const CONFIG: &str = "\
Examples:
  pinion config reference > pinion.toml
  pinion config show --config pinion.toml --set journal.fsync=never";
