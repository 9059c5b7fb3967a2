//! `pinion model compare`: champion and challengers over one journal.
//!
//! Invariant: text, JSON and page show the same figures.

use std::path::{Path, PathBuf};

use pinion_replay::contest::{
    Contest, Figures, FiguresOfDay, InputDrift, RATES, Request, compare, drift_words, page,
};
use pinion_replay::session::Progress as Step;

use crate::args::{ModelCompareArguments, Output};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, grouped, table};
use crate::progress::Progress;

/// Inputs shown as text; all of them are in JSON and on the page.
const INPUTS_SHOWN: usize = 8;

/// Does it.
///
/// # Errors
/// The configuration or a model is refused, the journal cannot be read, or the page not be written.
pub fn run(arguments: &ModelCompareArguments, output: Output) -> Result<Ended, Failure> {
    if let (Some(from), Some(to)) = (arguments.from, arguments.to)
        && from >= to
    {
        return Err(Failure::could_not(
            "--from is not before --to, which is the day after the last one",
        ));
    }
    let (config, _) = configuration::load_with_set(&arguments.configuration)?;
    let request = Request {
        contenders: arguments.models.clone(),
        with_recorded: arguments.recorded,
        from_ns: arguments.from.unwrap_or(i64::MIN),
        to_ns: arguments.to.unwrap_or(i64::MAX),
        label_days: arguments.label_days,
        reference_days: arguments.reference_days,
        ..Request::of(&journal_of(arguments, &config))
    };
    let mut progress = Progress::new("compare", None);
    let contest = compare(&config, &request, |step: Step| {
        progress.set_total(step.inputs);
        progress.set(step.done);
    })?;
    progress.finish();
    if let Some(path) = &arguments.out {
        write_page(path, &contest, &request.dir)?;
    }
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&contest)?,
        Output::Text => text(&mut out, &contest)?,
    }
    out.flush()?;
    if let Some(path) = &arguments.out {
        eprintln!("wrote {}", path.display());
    }
    let is_well = contest.measured > 0 && contest.decisions == contest.decisions_same;
    Ok(if is_well { Ended::Well } else { Ended::WithFindings })
}

fn journal_of(arguments: &ModelCompareArguments, config: &pinion_node::Config) -> PathBuf {
    arguments.journal.clone().unwrap_or_else(|| config.journal().dir)
}

fn write_page(path: &Path, contest: &Contest, journal: &Path) -> Result<(), Failure> {
    let page = page::text(contest, &format!("journal {}", journal.display()));
    std::fs::write(path, page).map_err(|error| Failure::could_not(format!("{}: {error}", path.display())))
}

fn text(out: &mut Out, contest: &Contest) -> Result<(), Failure> {
    out.line(format!(
        "{} of {} transactions measured, {} frauds; left out: {} open for {} days, {} erased, {} without a score",
        grouped(contest.measured),
        grouped(contest.transactions),
        grouped(contest.frauds),
        grouped(contest.open),
        contest.label_days,
        grouped(contest.erased),
        grouped(contest.unscored)
    ))?;
    out.line(format!(
        "{} of {} recorded decisions have the champion's score, to the last bit",
        grouped(contest.decisions_same),
        grouped(contest.decisions)
    ))?;
    let overall = contest.models.iter().enumerate().map(|(index, model)| {
        let name = format!("{} {}", model.name, hash_text(model.model_hash));
        row(name, &model.overall, index > 0)
    });
    lines(out, std::iter::once(head("model")).chain(overall))?;
    for (index, model) in contest.models.iter().enumerate() {
        let first = format!("{} by day", model.name);
        let days = model.days.iter();
        let days = days.map(|FiguresOfDay { day, figures }| row(day.clone(), figures, index > 0));
        lines(out, std::iter::once(head(&first)).chain(days))?;
    }
    let scores = |model: &pinion_replay::contest::Measured| {
        let shift = model.shift;
        vec![
            model.name.clone(),
            format!("{:+.4}", shift.mean),
            format!("{:.2} %", 100.0 * shift.moved),
            format!("{:.3}", model.overall.stability),
            drift_words(model.overall.stability).to_owned(),
        ]
    };
    if contest.models.len() > 1 {
        let names = [
            "scores against the champion's",
            "mean",
            "moved by 0.1",
            "PSI",
            "shift",
        ];
        let rows = contest.models.iter().skip(1).map(scores);
        lines(
            out,
            std::iter::once(names.map(str::to_owned).to_vec()).chain(rows),
        )?;
    }
    inputs(out, contest)
}

fn lines(out: &mut Out, rows: impl Iterator<Item = Vec<String>>) -> Result<(), Failure> {
    out.line("")?;
    let rows: Vec<_> = rows.collect();
    table(&rows).into_iter().try_for_each(|line| out.line(line))
}

fn head(first: &str) -> Vec<String> {
    let names = [first, "transactions", "frauds", "AUC ROC", "AP", "CP@100"].map(str::to_owned);
    let recalls = RATES.map(|rate| format!("R@{}%", 100.0 * rate));
    let rest = ["Brier", "ECE", "PSI"].map(str::to_owned);
    names.into_iter().chain(recalls).chain(rest).collect()
}

/// The shift is that of another model than the champion.
fn row(first: String, figures: &Figures, has_shift: bool) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let mut cells = vec![first, grouped(figures.transactions), grouped(figures.frauds)];
    let ranks = [figures.auc_roc, figures.average_precision, figures.card_precision];
    cells.extend(ranks.into_iter().chain(figures.recall).map(shown));
    cells.extend([figures.brier, figures.calibration_error].map(shown));
    cells.push(shown(has_shift.then_some(figures.stability)));
    cells
}

fn inputs(out: &mut Out, contest: &Contest) -> Result<(), Failure> {
    let first = format!("input against the first {} days", contest.reference_days);
    let head = [first.as_str(), "PSI", "highest day", "", "drift"]
        .map(str::to_owned)
        .to_vec();
    let rows = contest
        .inputs
        .iter()
        .take(INPUTS_SHOWN)
        .filter_map(|input: &InputDrift| {
            let (day, highest) = input.days.iter().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
            let index = input.index?;
            Some(vec![
                input.name.clone(),
                format!("{index:.3}"),
                day.clone(),
                format!("{highest:.3}"),
                drift_words(index).to_owned(),
            ])
        });
    lines(out, std::iter::once(head).chain(rows))
}
