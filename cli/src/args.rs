//! The command line.
//!
//! Invariant: what can be told to be wrong without looking at a file is refused here, with exit code 2.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pinion_features::set::Entity;
use pinion_replay::contest::{Contender, REFERENCE_DAYS};
use pinion_replay::export::{LABEL_DAYS, LABEL_DAYS_MAX};
use pinion_replay::import::Format;
use pinion_replay::import::time::{parse_day, parse_time};
use pinion_schemas::ids::{ID_LEN_MAX, Id};

use crate::events;
use crate::examples;

/// A low-latency financial event engine: payments and market events in over Aeron, decisions out.
///
/// Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 findings, 2 wrong usage or could not
/// run, 3 configuration refused, 4 data corrupt, 5 objective missed. PINION_LOG (error, warn, info, debug,
/// trace) says how much is logged.
#[derive(Debug, Parser)]
#[command(name = "pinion", version, max_term_width = 100, after_help = examples::PINION)]
pub struct Arguments {
    /// How results are written to stdout: as text for people, or as json, one object per line.
    #[arg(long, value_enum, default_value_t = Output::Text, global = true, hide_possible_values = true)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What `pinion` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show everything at work: a payments day and a market day through a real engine.
    #[command(after_help = examples::DEMO)]
    Demo(DemoArguments),
    /// Run an engine until SIGTERM or Ctrl-C.
    #[command(after_help = examples::RUN)]
    Run(ConfigArguments),
    /// Check configuration, model, strategies and cores without starting.
    #[command(after_help = examples::CHECK)]
    Check(ConfigArguments),
    /// Play a file or a generated day into the bus.
    #[command(after_help = examples::PUBLISH)]
    Publish(PublishArguments),
    /// Print decisions as they are published.
    #[command(after_help = examples::LISTEN)]
    Listen(ListenArguments),
    /// Write a generated day to a file.
    #[command(subcommand, after_help = examples::GENERATE)]
    Generate(GenerateCommand),
    /// Write training sets: the features of a journal's or a file's transactions, computed by the serving code.
    #[command(subcommand, after_help = examples::EXPORT)]
    Export(ExportCommand),
    /// Feature sets: check one, say what it means, read the values of a running engine.
    #[command(subcommand, after_help = examples::FEATURES)]
    Features(FeaturesCommand),
    /// The fraud model: train one, say why a payment got its score, and whether another model does better.
    #[command(subcommand, after_help = examples::MODEL)]
    Model(ModelCommand),
    /// Run a journal through the same topology again.
    #[command(after_help = examples::REPLAY)]
    Replay(ReplayArguments),
    /// Measure latency and throughput.
    #[command(subcommand, after_help = examples::LAB)]
    Lab(LabCommand),
    /// Print the counters of an engine, running or stopped.
    #[command(after_help = examples::STAT)]
    Stat(FolderArguments),
    /// Print the frames that were refused.
    #[command(after_help = examples::DEAD_LETTERS)]
    DeadLetters(FolderArguments),
    /// Print configuration: the reference, or what is in force.
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(ConfigCommand),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArguments {
    /// Configuration file; without one, defaults, environment and flags.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key, over file and environment: `--set journal.fsync=never`.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// Market events to play.
    #[arg(long, default_value_t = events::MARKET_EVENTS, value_name = "N")]
    pub market_events: u64,
    /// Customers of the generated payments.
    #[arg(long, default_value_t = events::CUSTOMERS, value_name = "N")]
    pub customers: u32,
    /// Days of payments; the model needs some to know its customers.
    #[arg(long, default_value_t = events::DAYS, value_name = "N")]
    pub days: u32,
    /// Seed of both days.
    #[arg(long, default_value_t = events::SEED, value_name = "N")]
    pub seed: u64,
    /// Keep the journal and the day's files in this folder; without it they are removed.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Which stream a file's events belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LaneName {
    /// Quotes, trades, book updates, own orders.
    Market,
    /// Transactions, labels, account updates.
    Payments,
}

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub struct PublishArguments {
    /// Where the configuration (the bus) comes from.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// A file (CSV, Parquet, DBN, pcap, gzip; told by its content), or `generated:payments`,
    /// `generated:market`.
    pub source: String,
    /// Format of the file, if it cannot be told.
    #[arg(long, default_value_t = Format::Auto)]
    pub format: Format,
    /// Events per second; without --rate and --speed as fast as back pressure allows.
    #[arg(long, conflicts_with = "speed", value_name = "N", value_parser = above_zero)]
    pub rate: Option<f64>,
    /// Times real time, by the events' own times.
    #[arg(long, value_name = "TIMES", value_parser = above_zero)]
    pub speed: Option<f64>,
    /// Stop after this many events, the skipped ones included.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Publisher number in the frames, from 1; no two publishers at one time have the same.
    #[arg(long, default_value_t = 1000, value_name = "ID", value_parser = clap::value_parser!(u32).range(1..))]
    pub publisher_id: u32,
    /// Session in the frames; without it the start time, which is a new session. With the session of an
    /// earlier run the engine passes over what it has already.
    #[arg(long, value_name = "N")]
    pub session: Option<u64>,
    /// Do not send the first N events, but count them: resumes --session where it stopped.
    #[arg(long, default_value_t = 0, value_name = "N", requires = "session")]
    pub skip: u64,
    /// Count bad rows and go on, instead of stopping at the first; exit code 1 if there were any.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Give up when the engine is not there, or takes nothing, for this many seconds.
    #[arg(long, default_value_t = 30.0, value_name = "S", value_parser = above_zero)]
    pub patience: f64,
    /// Seed of a generated source.
    #[arg(long, default_value_t = events::SEED, value_name = "N")]
    pub seed: u64,
}

/// Arguments of `listen`.
#[derive(Debug, Args)]
pub struct ListenArguments {
    /// Where the configuration (the bus) comes from.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// Stop after this many frames.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only decisions of this lane; rejects are always shown.
    #[arg(long, value_enum)]
    pub lane: Option<LaneName>,
    /// Stop when nothing came for this many seconds; without it, listen until Ctrl-C.
    #[arg(long, value_name = "S", value_parser = above_zero)]
    pub idle: Option<f64>,
}

/// What `generate` makes.
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// Card payments with three kinds of fraud, after the Fraud Detection Handbook's description.
    #[command(after_help = examples::GENERATE)]
    Payments {
        /// File to write (CSV).
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Customers.
        #[arg(long, default_value_t = events::CUSTOMERS, value_name = "N")]
        customers: u32,
        /// Days.
        #[arg(long, default_value_t = events::DAYS, value_name = "N")]
        days: u32,
        /// Seed.
        #[arg(long, default_value_t = events::SEED, value_name = "N")]
        seed: u64,
    },
    /// An order-level day of several instruments.
    #[command(after_help = examples::GENERATE)]
    Market {
        /// File to write (CSV).
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Events.
        #[arg(long, default_value_t = events::MARKET_EVENTS, value_name = "N")]
        events: u64,
        /// Instruments.
        #[arg(long, default_value_t = events::INSTRUMENTS, value_name = "N")]
        instruments: u32,
        /// Seed.
        #[arg(long, default_value_t = events::SEED, value_name = "N")]
        seed: u64,
    },
}

/// What `export` writes.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// transaction_id, event time, label, and every feature of every transaction.
    #[command(after_help = examples::EXPORT)]
    Features(ExportFeaturesArguments),
}

/// Arguments of `export features`.
#[derive(Debug, Args)]
pub struct ExportFeaturesArguments {
    /// Payments of a file, in any format that `publish` reads; without it, those of the journal.
    #[arg(long = "in", value_name = "FILE", conflicts_with_all = ["dir", "journal"])]
    pub source: Option<String>,
    /// Folder of the engine whose journal is read; without it the configuration's.
    #[arg(long, value_name = "DIR", conflicts_with = "journal")]
    pub dir: Option<PathBuf>,
    /// Journal folder, if it is not that of an engine.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Configuration that the journal was written under: the sizes of its tables.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Feature set: a file, or the name of one in `features/`; without it the configuration's.
    #[arg(long, value_name = "SET")]
    pub set: Option<String>,
    /// First day (UTC), as 2026-01-31; without it the first there is.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub from: Option<i64>,
    /// Day after the last one (UTC); without it all there are.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub to: Option<i64>,
    /// How long after its transaction a label may come; later ones are counted and left.
    #[arg(long, default_value_t = LABEL_DAYS, value_name = "N",
        value_parser = clap::value_parser!(u32).range(..=i64::from(LABEL_DAYS_MAX)))]
    pub label_days: u32,
    /// A folder for Parquet by day, a name that ends in .parquet for one file, else a file for CSV.
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// Arguments of `features compare`.
#[derive(Debug, Args)]
pub struct FeaturesCompareArguments {
    /// The Handbook's transactions, as Parquet or CSV.
    #[arg(long, value_name = "FILE")]
    pub raw: PathBuf,
    /// Its features of these transactions, in the same order, as Parquet or CSV.
    #[arg(long, value_name = "FILE")]
    pub published: PathBuf,
    /// Rows that the publication has in an order of its own (CSV): told apart.
    #[arg(long, value_name = "FILE")]
    pub ties: Option<PathBuf>,
}

/// What `features` does.
#[derive(Debug, Subcommand)]
pub enum FeaturesCommand {
    /// Check a feature set: what is wrong and where, whether the model takes it, what memory it needs.
    #[command(after_help = examples::FEATURES_CHECK)]
    Check(FeatureSetArguments),
    /// List a feature set, one line per slot of the vector.
    #[command(after_help = examples::FEATURES_LIST)]
    List(FeatureSetArguments),
    /// Say in words what a feature is: formula, interval, unit, missing value, precision, cost.
    #[command(after_help = examples::FEATURES_EXPLAIN)]
    Explain {
        /// The feature, or one of its slots.
        name: String,
        /// The set that it is in.
        #[command(flatten)]
        set: FeatureSetArguments,
    },
    /// Print the JSON Schema of feature sets, with which an editor completes and checks them.
    #[command(after_help = examples::FEATURES_SCHEMA)]
    Schema,
    /// Print the current values of an entity's features in a running engine, and how fresh they are.
    #[command(after_help = examples::FEATURES_GET)]
    Get(FeaturesGetArguments),
    /// Compute another feature set from the journal of a running engine, and put it in force.
    #[command(after_help = examples::FEATURES_BACKFILL)]
    Backfill(FeaturesBackfillArguments),
    /// Print one hash over all that the payment lane of a running engine knows.
    #[command(after_help = examples::FEATURES_DIGEST)]
    Digest(EngineArguments),
    /// Compare the features of the Fraud Detection Handbook with the published ones, value for value.
    #[command(after_help = examples::FEATURES_COMPARE)]
    Compare(FeaturesCompareArguments),
}

/// Which running engine.
#[derive(Debug, Args)]
pub struct EngineArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// The engine's folder; without it engine.dir of the configuration.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `features get`.
#[derive(Debug, Args)]
pub struct FeaturesGetArguments {
    /// The engine that is asked.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Whose features: customer, terminal, card, merchant, device or account, and its name. Once for each kind;
    /// features of a pair need both.
    #[arg(long = "entity", required = true, value_name = "KIND=NAME", value_parser = entity)]
    pub entities: Vec<EntityName>,
    /// Where the windows end, as 2026-01-31T12:00:00Z; without it at the newest event of the lane, but not later than
    /// now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub as_of: Option<i64>,
    /// Ask again every so many seconds, until Ctrl-C.
    #[arg(long, value_name = "S", value_parser = above_zero)]
    pub watch: Option<f64>,
}

/// An entity by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityName {
    /// Its kind.
    pub kind: Entity,
    /// Its name, as in the events.
    pub name: String,
}

/// Arguments of `features backfill`.
#[derive(Debug, Args)]
pub struct FeaturesBackfillArguments {
    /// The engine whose set is exchanged.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// File of the new set; without it the one that features.set of the configuration names.
    pub file: Option<PathBuf>,
    /// The first day whose events count; without it all that the journal holds.
    #[arg(long, value_name = "DAY", value_parser = day_text)]
    pub from: Option<String>,
}

/// Which feature set.
#[derive(Debug, Args)]
pub struct FeatureSetArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// File of the set; without it the one that features.set of the configuration names.
    pub file: Option<PathBuf>,
}

/// What is asked about the model.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Say why a payment of a journal got its score: the cases that it resembled, and its features.
    #[command(after_help = examples::MODEL_EXPLAIN)]
    Explain(ModelExplainArguments),
    /// Train a model on exported features: run models/train of the source, in a Python environment of its own.
    #[command(after_help = examples::MODEL_TRAIN)]
    Train(ModelTrainArguments),
    /// Compare champion and challengers over a journal: how they rank, how far they can be believed, what has moved.
    #[command(after_help = examples::MODEL_COMPARE)]
    Compare(ModelCompareArguments),
    /// Bring another model up from the journal of a running engine, and put it in force; the one in force: make its
    /// bank anew.
    #[command(after_help = examples::MODEL_SWAP)]
    Swap(ModelSwapArguments),
    /// Measure encoder and search of the whole bank as one graph, on the CPU or a GPU, beside the engine's own.
    #[command(after_help = examples::MODEL_BENCH)]
    Bench(ModelBenchArguments),
}

/// Arguments of `model swap`.
#[derive(Debug, Args)]
pub struct ModelSwapArguments {
    /// The engine whose model is exchanged.
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Folder of the model; without it the one that score.model of the configuration names.
    pub folder: Option<PathBuf>,
}

/// Arguments of `model bench`.
#[derive(Debug, Args)]
pub struct ModelBenchArguments {
    /// Folder of the model; a relative path is looked for as score.model is.
    #[arg(long, value_name = "DIR", default_value = "models/fraud-v2")]
    pub model: String,
    /// Where the graph runs, beside the CPU.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu, value_name = "DEVICE")]
    pub device: DeviceName,
    /// Vectors of a run.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32, 128], value_name = "N,N",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch: Vec<u16>,
    /// Rows of the bank.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000], value_name = "N,N",
        value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub rows: Vec<u32>,
    /// Rows that the graph proposes for each vector, of which the bank takes the nearest.
    #[arg(long, default_value_t = 1_024, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub proposals: u16,
    /// Append the results to this file as a JSON line.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// ONNX Runtime's library, on cuda the folder of its GPU build; "auto": where the set-up puts it.
    #[arg(long, value_name = "PATH", default_value = "auto")]
    pub library: String,
    /// Folder of CUDA's libraries; without it that of the GPU build, or where the system's loader finds them.
    #[arg(long, value_name = "DIR")]
    pub cuda: Option<PathBuf>,
    /// SHA-256 of the CUDA provider, if it is not the pinned one: a build for one kind of GPU.
    #[arg(long, value_name = "HASH")]
    pub provider_sha256: Option<String>,
}

/// A device, as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// One core of the CPU.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

/// Arguments of `model train`.
#[derive(Debug, Args)]
pub struct ModelTrainArguments {
    /// What `pinion export features` wrote: a folder of Parquet, one Parquet file, or CSV.
    #[arg(long, value_name = "DIR")]
    pub features: PathBuf,
    /// Folder of the model.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Settings of the training; without them the defaults of models/train/settings.py.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// In what the encoder's weights are stored; over the settings.
    #[arg(long, value_enum, value_name = "PRECISION")]
    pub precision: Option<PrecisionName>,
    /// Name of the model; without it the last part of --out.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Python 3.11 or later, to make the environment with.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
    /// Folder of the trainer; a relative path is looked for in the working directory, then in the folders above the
    /// program and above the working directory.
    #[arg(long, value_name = "DIR", default_value = "models/train")]
    pub trainer: PathBuf,
    /// Folder of the environment, made once with the packages that the trainer's requirements.txt pins; without it
    /// .tools/trainer of the source that the trainer is in.
    #[arg(long, value_name = "DIR")]
    pub environment: Option<PathBuf>,
}

/// In what an encoder's weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    /// As trained.
    F32,
    /// Half precision.
    F16,
    /// Whole numbers with a scale per output.
    Int8,
}

impl PrecisionName {
    /// As the trainer calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

/// Arguments of `model compare`.
#[derive(Debug, Args)]
pub struct ModelCompareArguments {
    /// Where the configuration comes from; it must be the one the journal was written with. Its model is the champion.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// Journal folder; without it the configuration's.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// A challenger: the folder of its model, and a feature set's file if it has another one than the champion. May be
    /// given more than once.
    #[arg(long = "model", value_name = "FOLDER[,SET]", value_parser = contender)]
    pub models: Vec<Contender>,
    /// Measure what live challengers noted beside the journal, too.
    #[arg(long)]
    pub recorded: bool,
    /// First day (UTC), as 2026-01-31; without it the first there is.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub from: Option<i64>,
    /// Day after the last one (UTC); without it all there are.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub to: Option<i64>,
    /// How long after its transaction a label may come; without one by then it was genuine.
    #[arg(long, alias = "labels-delay", default_value_t = LABEL_DAYS, value_name = "N",
        value_parser = clap::value_parser!(u32).range(..=i64::from(LABEL_DAYS_MAX)))]
    pub label_days: u32,
    /// Days at the beginning that inputs are compared with.
    #[arg(long, default_value_t = REFERENCE_DAYS, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(LABEL_DAYS_MAX)))]
    pub reference_days: u32,
    /// Write the charts and all figures to this file, as one HTML page.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `model explain`.
#[derive(Debug, Args)]
pub struct ModelExplainArguments {
    /// Where the configuration comes from; it must be the one the journal was written with.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// Id of the transaction; the last one of this id counts.
    #[arg(long, value_name = "ID", value_parser = transaction_id, required_unless_present = "sequence")]
    pub event: Option<Id>,
    /// Place of the event in the payments lane, from 1, as decisions show it.
    #[arg(long, value_name = "N", conflicts_with = "event")]
    pub sequence: Option<u64>,
    /// Journal folder; without it the configuration's.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Where the configuration comes from; it must be the one the journal was written with.
    #[command(flatten)]
    pub configuration: ConfigArguments,
    /// Journal folder; without it the configuration's.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Compare every decision with the recorded one, byte for byte.
    #[arg(long)]
    pub verify: bool,
}

/// What the lab does.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Run the scenarios interleaved and print the table.
    #[command(after_help = examples::LAB)]
    Run {
        /// Where the configuration of the engine under test comes from; folders and bus are the lab's own.
        #[command(flatten)]
        configuration: ConfigArguments,
        /// Append the results to this file as a JSON line.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Events per second of the open loop.
        #[arg(long, default_value_t = 100_000.0, value_name = "N", value_parser = above_zero)]
        rate: f64,
        /// Seconds of each scenario in each round.
        #[arg(long, default_value_t = 2.0, value_name = "S", value_parser = above_zero)]
        seconds: f64,
        /// Interleaved rounds.
        #[arg(long, default_value_t = 5, value_name = "N")]
        rounds: usize,
        /// Run only the scenarios whose name contains this.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// One short round: shows that it works, its figures say nothing.
        #[arg(long)]
        smoke: bool,
    },
}

/// A folder of an engine.
#[derive(Debug, Args)]
pub struct FolderArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configuration: ConfigArguments,
}

/// What `config` prints.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every key with its default and comment.
    #[command(after_help = examples::CONFIG)]
    Reference,
    /// What is in force after file, environment and flags.
    #[command(after_help = examples::CONFIG)]
    Show(ConfigArguments),
}

/// The id of a transaction.
fn transaction_id(text: &str) -> Result<Id, String> {
    let id = Id::new(text);
    id.ok_or_else(|| format!("expected 1 to {ID_LEN_MAX} printable ASCII characters without spaces"))
}

/// A model's folder, and its feature set behind a comma.
fn contender(text: &str) -> Result<Contender, String> {
    let (model, set) = text
        .split_once(',')
        .map_or((text, None), |(model, set)| (model, Some(set)));
    if model.is_empty() || set.is_some_and(str::is_empty) {
        return Err("expected FOLDER or FOLDER,SET".to_owned());
    }
    Ok(Contender {
        model: model.to_owned(),
        set: set.map(PathBuf::from),
    })
}

/// Midnight of a day. Unit: ns since the Unix epoch.
fn day(text: &str) -> Result<i64, String> {
    parse_day(text).ok_or_else(|| "expected a day like 2026-01-31".to_owned())
}

/// A time in UTC. Unit: ns since the Unix epoch.
fn time(text: &str) -> Result<i64, String> {
    let time = parse_time(text).filter(|_| text.ends_with('Z'));
    time.ok_or_else(|| "expected a time in UTC like 2026-01-31T12:00:00Z".to_owned())
}

/// A kind of entity and a name.
fn entity(text: &str) -> Result<EntityName, String> {
    let (kind, name) = text.split_once('=').unwrap_or((text, ""));
    let kinds = || Entity::ALL.map(Entity::name).join(", ");
    let known = Entity::ALL.into_iter().find(|known| known.name() == kind);
    match known {
        Some(kind) if !name.is_empty() => Ok(EntityName {
            kind,
            name: name.to_owned(),
        }),
        Some(kind) => Err(format!("expected a name after it, such as {}=123", kind.name())),
        None => Err(format!(
            "{kind} is no kind of entity, expected one of {}",
            kinds()
        )),
    }
}

/// A day as it was written.
fn day_text(text: &str) -> Result<String, String> {
    day(text).map(|_| text.to_owned())
}

/// A number above 0.
fn above_zero(text: &str) -> Result<f64, String> {
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn days_are_read_as_midnight_utc() {
        assert_eq!(day("1970-01-02"), Ok(86_400_000_000_000));
        ["", "1970-13-01", "yesterday", "1970-01-02T00:00:00Z"]
            .into_iter()
            .for_each(|text| assert!(day(text).is_err(), "{text}"));
    }

    #[test]
    fn times_are_read_in_utc_alone() {
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Ok(1_500_000_000));
        [
            "",
            "1970-01-01",
            "1970-01-01T00:00:01",
            "1970-01-01T00:00:01+02:00",
        ]
        .into_iter()
        .for_each(|text| assert!(time(text).is_err(), "{text}"));
    }

    #[test]
    fn what_is_not_above_zero_is_refused() {
        assert_eq!(above_zero("0.5"), Ok(0.5));
        ["0", "-1", "inf", "nan", "x"]
            .into_iter()
            .for_each(|text| assert!(above_zero(text).is_err(), "{text}"));
    }

    #[test]
    fn entity_is_a_known_kind_and_a_name() {
        let named = |name: &str| EntityName {
            kind: Entity::Card,
            name: name.to_owned(),
        };
        assert_eq!(entity("card=4000=1"), Ok(named("4000=1")));
        for (text, expected) in [
            ("card", "expected a name after it, such as card=123"),
            ("card=", "expected a name after it, such as card=123"),
            (
                "issuer=1",
                "issuer is no kind of entity, expected one of customer, ",
            ),
        ] {
            let refusal = entity(text).unwrap_err();
            assert!(refusal.starts_with(expected), "{refusal}");
        }
    }
}
