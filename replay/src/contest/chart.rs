//! Charts as SVG text, drawn in the units of a phone's width, so that letters are readable without being scaled.
//!
//! Colours are the page's: `s0` to `s5` are the classes of the series. Dashes tell series apart, too.
//!
//! Invariant: only numbers and escaped text go into the SVG; a value that is not finite is not drawn.

use std::fmt::Write as _;

/// Size of a chart. Unit: CSS pixels at a scale of 1.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;

/// Around the plot: left, right, top, bottom.
const MARGIN: [f64; 4] = [44.0, 10.0, 10.0, 34.0];

/// What a label below the plot needs. Unit: as [`WIDTH`].
const LABEL_WIDTH: f64 = 52.0;

/// Classes of series there are.
pub(super) const SERIES_MAX: usize = 6;

/// An axis from `min` to `max`.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) min: f64,
    pub(super) max: f64,
    /// Where it is labelled, and how.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) title: &'static str,
}

impl Axis {
    /// From 0 or `min` to what holds all `values`, in round steps.
    pub(super) fn of(values: impl Iterator<Item = f64>, min: Option<f64>, title: &'static str) -> Self {
        let (mut low, mut high) = (min.unwrap_or(f64::INFINITY), f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low >= high || !high.is_finite() {
            // One value, or none: with 0, so that there is a scale.
            let value = if high.is_finite() { high } else { 0.0 };
            (low, high) = (value.min(0.0), value.max(0.0));
            high += f64::from(u8::from(low == high));
        }
        let step = round_step((high - low) / 5.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let ticks = (first as i64..=last as i64).map(|tick| tick as f64 * step);
        Self {
            min: first * step,
            max: last * step,
            ticks: ticks.map(|tick| (tick, format!("{tick:.decimals$}"))).collect(),
            title,
        }
    }

    fn place(&self, value: f64, (begin, end): (f64, f64)) -> f64 {
        begin + (value - self.min) / (self.max - self.min) * (end - begin)
    }
}

/// The next of 1, 2, 5, 10 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let rounds = [1.0, 2.0, 5.0, 10.0];
    power
        * rounds
            .into_iter()
            .find(|round| round * power >= step * 0.999)
            .unwrap_or(10.0)
}

/// Points of one series.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines through the points of each series; `labels` says what a point is to whoever rests on it.
pub(super) fn lines(x: &Axis, y: &Axis, series: &[Series], has_diagonal: bool) -> String {
    let mut out = begin(x, y);
    if has_diagonal {
        let (from, to) = (place(x, y, (0.0, 0.0)), place(x, y, (1.0, 1.0)));
        let _ = write!(
            out,
            "<path class=\"ideal\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }
    for (index, Series { name, points }) in series.iter().enumerate() {
        let class = index % SERIES_MAX;
        let finite: Vec<_> = points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        let mut path = String::new();
        for (number, &&point) in finite.iter().enumerate() {
            let (left, top) = place(x, y, point);
            let _ = write!(path, "{}{left:.1} {top:.1}", if number == 0 { 'M' } else { 'L' });
        }
        let _ = write!(out, "<path class=\"line s{class}\" d=\"{path}\"/>");
        if finite.len() <= 31 {
            for &&point in &finite {
                let (left, top) = place(x, y, point);
                let _ = write!(
                    out,
                    "<circle class=\"dot s{class}\" cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"2.5\"><title>{}: {:.4}</title></circle>",
                    escape(name),
                    point.1
                );
            }
        }
    }
    out + "</svg>"
}

/// A group of bars for each label, one bar for each series; heights from 0 to 1 of the axis.
pub(super) fn bars(
    labels: &[String],
    y: &Axis,
    series: &[(String, Vec<f64>)],
    title: &'static str,
) -> String {
    let ticks = labels.iter().enumerate();
    let x = Axis {
        min: 0.0,
        max: labels.len() as f64,
        ticks: ticks
            .map(|(index, label)| (index as f64, label.clone()))
            .collect(),
        title,
    };
    let mut out = begin(&x, y);
    let width = 0.8 / series.len().max(1) as f64;
    for (number, (name, heights)) in series.iter().enumerate() {
        for (index, &height) in heights
            .iter()
            .enumerate()
            .filter(|(_, height)| height.is_finite())
        {
            let begin = index as f64 + 0.1 + number as f64 * width;
            let (left, top) = place(&x, y, (begin, height));
            let (right, bottom) = place(&x, y, (begin + width, y.min));
            let _ = write!(
                out,
                "<rect class=\"bar s{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {height:.4}</title></rect>",
                number % SERIES_MAX,
                right - left,
                (bottom - top).max(0.0),
                escape(name)
            );
        }
    }
    out + "</svg>"
}

fn place(x: &Axis, y: &Axis, point: (f64, f64)) -> (f64, f64) {
    let [left, right, top, bottom] = MARGIN;
    (
        x.place(point.0, (left, WIDTH - right)),
        y.place(point.1, (HEIGHT - bottom, top)),
    )
}

/// Opens the SVG and draws the axes.
fn begin(x: &Axis, y: &Axis) -> String {
    let [left, right, top, bottom] = MARGIN;
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for (value, label) in &y.ticks {
        let (_, height) = place(x, y, (x.min, *value));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{left} {height:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - right,
            left - 5.0,
            height + 3.5,
            escape(label)
        );
    }
    // Not every tick may have the room for a label.
    let room = ((WIDTH - left - right) / LABEL_WIDTH) as usize;
    let every = x.ticks.len().div_ceil(room.max(1)).max(1);
    for (value, label) in x.ticks.iter().step_by(every) {
        let (across, _) = place(x, y, (*value, y.min));
        // The last one must not be cut off at the border.
        let anchor = if across + LABEL_WIDTH / 2.0 > WIDTH {
            "end"
        } else {
            "middle"
        };
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{across:.1} {top}V{}\"/><text class=\"tick\" x=\"{across:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            HEIGHT - bottom,
            HEIGHT - bottom + 13.0,
            escape(label)
        );
    }
    let middle = (left + WIDTH - right) / 2.0;
    let _ = write!(
        out,
        "<text class=\"tick\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 4.0,
        escape(x.title)
    );
    out
}

/// Text as it may stand in HTML, in an attribute, too.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64]) -> Vec<String> {
        let axis = Axis::of(values.iter().copied(), None, "");
        axis.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_end_at_round_numbers_around_the_values() {
        assert_eq!(ticks(&[0.871, 0.94]), ["0.86", "0.88", "0.90", "0.92", "0.94"]);
        assert_eq!(ticks(&[0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks(&[3.0]), ["0", "1", "2", "3"], "one value");
        assert_eq!(ticks(&[f64::NAN]).len(), 6, "none");
    }

    #[test]
    fn what_is_not_finite_is_not_drawn_and_names_are_escaped() {
        let axis = Axis::of([0.0, 1.0].into_iter(), None, "a<b");
        let series = Series {
            name: "\"<&>".to_owned(),
            points: vec![(0.0, 0.0), (0.5, f64::NAN), (1.0, 1.0)],
        };
        let text = lines(&axis, &axis, &[series], false);
        assert!(!text.contains("NaN") && !text.contains("a<b"), "{text}");
        assert_eq!(text.matches("<circle").count(), 2);
        assert!(
            text.contains("<title>&quot;&lt;&amp;&gt;: 1.0000</title>"),
            "{text}"
        );
    }
}
