//! The one table that people read; the lines on stdout are for programs.
//!
//! There are two ratios to the best rival: of the medians, and of the best rounds, which other work on the machine
//! touches least.
//!
//! Invariant: a ratio is to the best rival of the same work at the same size, in rounds in which both took turns.

use pinion_latency_lab::bench::Case as Line;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A feature vector to an embedding.
    Encode,
    /// The nearest rows, exactly.
    Exact,
    /// Most of the nearest rows.
    Approximate,
    /// One more case.
    Insert,
    /// Encoder, search, vote, reasons.
    Score,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) rows: usize,
    pub(crate) work: Work,
    pub(crate) case: String,
    pub(crate) is_rival: bool,
    pub(crate) recall: Option<f64>,
    pub(crate) line: Line,
}

/// Prints all entries.
pub(crate) fn print(entries: &[Entry]) {
    eprintln!(
        "| rows | what | case | median µs | best round µs | recall@10 | over the best rival | of best rounds |"
    );
    eprintln!("|---|---|---|---|---|---|---|---|");
    for entry in entries {
        let recall = entry
            .recall
            .map_or("-".to_owned(), |recall| format!("{recall:.3}"));
        eprintln!(
            "| {} | {} | {} | {:.2} | {:.2} | {recall} | {} | {} |",
            entry.rows,
            format!("{:?}", entry.work).to_lowercase(),
            entry.case,
            entry.line.median_ns / 1e3,
            entry.line.min_ns / 1e3,
            ratio(entries, entry, |line| line.median_ns),
            ratio(entries, entry, |line| line.min_ns),
        );
    }
}

/// A time over that of the quickest rival of the same work.
fn ratio(entries: &[Entry], entry: &Entry, time: impl Fn(&Line) -> f64) -> String {
    let peers = entries.iter().filter(|other| {
        other.is_rival && (other.rows, other.work) == (entry.rows, entry.work) && like(other, entry)
    });
    let best = peers.map(|peer| time(&peer.line)).min_by(f64::total_cmp);
    best.map_or("-".to_owned(), |best| format!("{:.2}", time(&entry.line) / best))
}

/// Whether two lines come from rounds in which they took turns.
fn like(a: &Entry, b: &Entry) -> bool {
    a.line.bench == b.line.bench
}
