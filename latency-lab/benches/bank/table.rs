//! The one table that people read; the lines on stdout are for programs.
//!
//! Invariant: a ratio is to the best rival of the same work at the same size.

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
    eprintln!("| rows | what | case | median µs | best round µs | recall@10 | over the best rival |");
    eprintln!("|---|---|---|---|---|---|---|");
    for entry in entries {
        let recall = entry
            .recall
            .map_or("-".to_owned(), |recall| format!("{recall:.3}"));
        let rival = best_rival(entries, entry);
        let ratio = rival.map_or("-".to_owned(), |rival| {
            format!("{:.2}", entry.line.median_ns / rival.line.median_ns)
        });
        eprintln!(
            "| {} | {} | {} | {:.2} | {:.2} | {recall} | {ratio} |",
            entry.rows,
            format!("{:?}", entry.work).to_lowercase(),
            entry.case,
            entry.line.median_ns / 1e3,
            entry.line.min_ns / 1e3,
        );
    }
}

/// The quickest rival of the same work.
fn best_rival<'a>(entries: &'a [Entry], entry: &Entry) -> Option<&'a Entry> {
    let peers = entries.iter().filter(|other| {
        other.is_rival && (other.rows, other.work) == (entry.rows, entry.work) && like(other, entry)
    });
    peers.min_by(|a, b| a.line.median_ns.total_cmp(&b.line.median_ns))
}

/// Whether two lines come from rounds in which they took turns.
fn like(a: &Entry, b: &Entry) -> bool {
    a.line.bench == b.line.bench
}
