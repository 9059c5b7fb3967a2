//! A comparison as one HTML page that needs nothing else: no script, no font, no network.
//!
//! Invariant: all that comes from outside stands in it escaped.

use std::fmt::Write as _;

use pinion_node::drift;

use super::chart::{Axis, SERIES_MAX, Series, bars, escape, lines};
use super::figures::{Figures, FiguresOfDay, Measured};
use super::{Contest, RATES, SCORE_EDGES, drift_words};

const STYLE: &str = include_str!("page.css");

/// Inputs whose days are drawn.
const DRAWN_INPUTS: usize = SERIES_MAX;

/// The page; `journal` is what was compared over, in words.
pub fn text(contest: &Contest, journal: &str) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Models over {0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Champion and challengers</h1>\n\
         <p class=\"about\">{0}</p>\n",
        escape(journal)
    );
    summary(&mut out, contest);
    legend(&mut out, &contest.models);
    charts(&mut out, &contest.models);
    inputs(&mut out, contest);
    by_day(&mut out, &contest.models);
    out + "</body>\n</html>\n"
}

fn summary(out: &mut String, contest: &Contest) {
    let Contest {
        transactions,
        measured,
        frauds,
        erased,
        open,
        unscored,
        label_days,
        decisions,
        decisions_same,
        ..
    } = contest;
    let _ = writeln!(
        out,
        "<p class=\"about\">{measured} of {transactions} transactions are measured, {frauds} of them frauds. Left out: \
         {open} whose label may still come (up to {label_days} days), {erased} erased, {unscored} that a model has no \
         score of. The champion gives {decisions_same} of {decisions} recorded decisions the same score, to the last \
         bit.</p>"
    );
    let _ = writeln!(out, "<div class=\"scroll\"><table>\n{}", head(&["model"]));
    for (index, model) in contest.models.iter().enumerate() {
        let class = index % SERIES_MAX;
        let role = if index == 0 { " (champion)" } else { "" };
        let name = format!(
            "<span class=\"key s{class}\"></span>{}{role} <code>{:016x}</code>",
            escape(&model.name),
            model.model_hash
        );
        let _ = writeln!(out, "{}", row(&[name], &model.overall, index > 0));
    }
    out.push_str("</table></div>\n");
    for model in contest.models.iter().skip(1) {
        let _ = writeln!(
            out,
            "<p class=\"about\">{}: scores differ from the champion’s by {:+.4} in the mean; {:.2} % by more than 0.1. \
             Shift (PSI) {:.3}: {}.</p>",
            escape(&model.name),
            model.shift.mean,
            100.0 * model.shift.moved,
            model.overall.stability,
            drift_words(model.overall.stability)
        );
    }
}

/// The head of a table of figures; `first` names the columns before them.
fn head(first: &[&str]) -> String {
    let figures = ["transactions", "frauds", "AUC ROC", "AP", "CP@100"].map(str::to_owned);
    let recalls = RATES.map(|rate| format!("recall at {} %", 100.0 * rate));
    let rest = ["Brier", "ECE", "PSI"].map(str::to_owned);
    let names = first.iter().map(|&name| name.to_owned());
    let names = names.chain(figures).chain(recalls).chain(rest);
    let cells: String = names.map(|name| format!("<th>{name}</th>")).collect();
    format!("<tr>{cells}</tr>")
}

/// A row of it; the shift is that of another model than the champion.
fn row(first: &[String], figures: &Figures, has_shift: bool) -> String {
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let mut cells = vec![figures.transactions.to_string(), figures.frauds.to_string()];
    let ranks = [figures.auc_roc, figures.average_precision, figures.card_precision];
    cells.extend(ranks.into_iter().chain(figures.recall).map(shown));
    cells.extend([figures.brier, figures.calibration_error].map(shown));
    cells.push(shown(has_shift.then_some(figures.stability)));
    let first: String = first.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    let cells: String = cells.into_iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{first}{cells}</tr>")
}

fn legend(out: &mut String, models: &[Measured]) {
    out.push_str("<p class=\"legend\">");
    for (index, model) in models.iter().enumerate() {
        let _ = write!(
            out,
            "<span><span class=\"key s{}\"></span>{}</span> ",
            index % SERIES_MAX,
            escape(&model.name)
        );
    }
    out.push_str("</p>\n");
}

fn charts(out: &mut String, models: &[Measured]) {
    let days: Vec<&str> = models
        .first()
        .map(|model| model.days.iter().map(|day| day.day.as_str()).collect())
        .unwrap_or_default();
    let by_day = |value: fn(&Figures) -> Option<f64>, min: Option<f64>| {
        let series = models.iter().map(|model| {
            let of_day = |(place, day): (usize, &FiguresOfDay)| {
                (place as f64, value(&day.figures).unwrap_or(f64::NAN))
            };
            (
                model.name.clone(),
                model.days.iter().enumerate().map(of_day).collect(),
            )
        });
        day_chart(&days, series.collect(), min)
    };
    out.push_str("<div class=\"charts\">\n");
    figure(out, "AUC ROC by day", &by_day(|figures| figures.auc_roc, None));
    figure(
        out,
        "Average precision by day",
        &by_day(|figures| figures.average_precision, Some(0.0)),
    );
    figure(
        out,
        "Card precision@100 by day",
        &by_day(|figures| figures.card_precision, Some(0.0)),
    );
    figure(
        out,
        "Recall at 1 % false positives by day",
        &by_day(|figures| figures.recall[1], Some(0.0)),
    );
    figure(out, "Recall by false-positive rate", &curves(models));
    figure(
        out,
        "Share of frauds by score (reliability)",
        &reliability(models),
    );
    figure(out, "Share of transactions by score", &histogram(models));
    if models.len() > 1 {
        figure(
            out,
            "Score shift against the champion by day (PSI)",
            &by_day(|figures| Some(figures.stability), Some(0.0)),
        );
    }
    out.push_str("</div>\n");
}

fn figure(out: &mut String, title: &str, svg: &str) {
    let _ = writeln!(
        out,
        "<figure><figcaption>{}</figcaption>{svg}</figure>",
        escape(title)
    );
}

/// Lines over days; a point is at the number of its day.
fn day_chart(days: &[&str], series: Vec<(String, Vec<(f64, f64)>)>, min: Option<f64>) -> String {
    let ticks = days.iter().enumerate();
    let x = Axis {
        min: 0.0,
        max: days.len().saturating_sub(1).max(1) as f64,
        // Without the year: it stands in the table.
        ticks: ticks
            .map(|(place, day)| (place as f64, day.get(5..).unwrap_or_default().to_owned()))
            .collect(),
        title: "day",
    };
    let values = series
        .iter()
        .flat_map(|(_, points)| points.iter().map(|point| point.1));
    let y = Axis::of(values, min, "");
    let series = series.into_iter().map(|(name, points)| Series { name, points });
    lines(&x, &y, &series.collect::<Vec<_>>(), false)
}

fn curves(models: &[Measured]) -> String {
    let power = |power: i32, label: &str| (f64::from(power), label.to_owned());
    let x = Axis {
        min: -4.0,
        max: 0.0,
        ticks: vec![
            power(-4, "0.01 %"),
            power(-3, "0.1 %"),
            power(-2, "1 %"),
            power(-1, "10 %"),
            power(0, "100 %"),
        ],
        title: "false-positive rate",
    };
    let series = models.iter().map(|model| Series {
        name: model.name.clone(),
        points: model
            .curve
            .iter()
            .map(|&(rate, recall)| (rate.log10(), recall))
            .collect(),
    });
    lines(&x, &unit(""), &series.collect::<Vec<_>>(), false)
}

fn unit(title: &'static str) -> Axis {
    Axis {
        ticks: [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
            .map(|tick| (tick, format!("{tick:.1}")))
            .to_vec(),
        ..Axis::of([0.0, 1.0].into_iter(), None, title)
    }
}

fn reliability(models: &[Measured]) -> String {
    let series = models.iter().map(|model| {
        let bins = model.reliability.iter().filter(|bin| bin.count > 0);
        Series {
            name: model.name.clone(),
            points: bins.map(|bin| (bin.score, bin.fraud_share)).collect(),
        }
    });
    lines(&unit("mean score"), &unit(""), &series.collect::<Vec<_>>(), true)
}

/// Shares on a logarithmic scale: most scores are near 0.
fn histogram(models: &[Measured]) -> String {
    let mut labels = vec!["0".to_owned()];
    labels.extend(SCORE_EDGES.map(|edge| edge.to_string()));
    let powers = [
        (-4, "0.01 %"),
        (-3, "0.1 %"),
        (-2, "1 %"),
        (-1, "10 %"),
        (0, "100 %"),
    ];
    let y = Axis {
        min: -4.5,
        max: 0.0,
        ticks: powers
            .map(|(power, label)| (f64::from(power), label.to_owned()))
            .to_vec(),
        title: "",
    };
    let series = models.iter().map(|model| {
        let all = model.histogram.iter().sum::<u64>().max(1) as f64;
        let heights = model
            .histogram
            .iter()
            .map(|&count| (count as f64 / all).log10().max(-4.5));
        (model.name.clone(), heights.collect())
    });
    bars(&labels, &y, &series.collect::<Vec<_>>(), "score from")
}

fn inputs(out: &mut String, contest: &Contest) {
    let _ = writeln!(
        out,
        "<h2>Drift of the champion’s inputs</h2>\n<p class=\"about\">Population stability index against the first {} \
         days. Below {} nothing moved, from {} on it did.</p>",
        contest.reference_days,
        drift::SLIGHT,
        drift::LARGE
    );
    let drawn = &contest.inputs[..contest.inputs.len().min(DRAWN_INPUTS)];
    let days: Vec<&str> = drawn
        .first()
        .map(|input| input.days.iter().map(|(day, _)| day.as_str()).collect())
        .unwrap_or_default();
    if days.is_empty() {
        out.push_str("<p class=\"about\">There are no days behind the first ones.</p>\n");
        return;
    }
    let series: Vec<(String, Vec<(f64, f64)>)> = drawn
        .iter()
        .map(|input| {
            let points = input.days.iter().enumerate();
            (
                input.name.clone(),
                points.map(|(place, (_, index))| (place as f64, *index)).collect(),
            )
        })
        .collect();
    out.push_str("<p class=\"legend\">");
    for (place, input) in drawn.iter().enumerate() {
        let _ = write!(
            out,
            "<span><span class=\"key s{place}\"></span>{}</span> ",
            escape(&input.name)
        );
    }
    out.push_str("</p>\n<div class=\"charts\">\n");
    figure(
        out,
        "Those that moved most, by day",
        &day_chart(&days, series, Some(0.0)),
    );
    out.push_str("</div>\n<div class=\"scroll\"><table>\n<tr><th>input</th><th>PSI</th><th>highest day</th><th></th></tr>\n");
    for input in &contest.inputs {
        let highest = input.days.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let index = input.index.unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr class=\"{}\"><th>{}</th><td>{index:.3}</td><td>{}</td><td>{0}</td></tr>",
            drift_words(index),
            escape(&input.name),
            highest.map_or_else(String::new, |(day, index)| format!("{index:.3} on {day}"))
        );
    }
    out.push_str("</table></div>\n");
}

fn by_day(out: &mut String, models: &[Measured]) {
    out.push_str("<h2>By day</h2>\n");
    for (index, model) in models.iter().enumerate() {
        let _ = writeln!(
            out,
            "<details{}><summary>{}</summary>\n<div class=\"scroll\"><table>\n{}",
            if index == 0 { " open" } else { "" },
            escape(&model.name),
            head(&["day"])
        );
        for FiguresOfDay { day, figures } in &model.days {
            let _ = writeln!(out, "{}", row(std::slice::from_ref(day), figures, index > 0));
        }
        out.push_str("</table></div></details>\n");
    }
}
