//! One measured number and what it is compared with.

use std::fmt;

use serde::Serialize;

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) name: String,
    /// How much.
    pub(super) value: f64,
    /// Of what.
    pub(super) unit: &'static str,
    /// The value over the baseline's.
    pub(super) ratio: Option<f64>,
    /// What the ratio should be; without a ratio, what the value should be.
    pub(super) target: Option<f64>,
    /// Whether more is better.
    pub(super) higher_is_better: bool,
}

impl Figure {
    /// A number of which more is better, without a target.
    pub(super) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            ratio: None,
            target: None,
            higher_is_better: true,
        }
    }

    /// A number of which less is better, without a target.
    pub(super) fn lower(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            higher_is_better: false,
            ..Self::new(name, value, unit)
        }
    }

    /// Says how it compares with a baseline.
    pub(super) fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = Some(ratio);
        self
    }

    /// Says what the ratio should be.
    pub(super) fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether it misses its target.
    pub(super) fn is_short(&self) -> bool {
        let measured = self.ratio.unwrap_or(self.value);
        // Not a number, from a baseline of nothing, is short too.
        self.target.is_some_and(|target| {
            let reached = if self.higher_is_better {
                measured >= target
            } else {
                measured <= target
            };
            !reached
        })
    }
}

/// The middle one; of an even number of them, the higher of the two in the middle. Not a number without any.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The one below which so many hundredths of the sorted numbers are; the last one at most, none without any.
pub(super) fn percentile<Number: Copy>(sorted: &[Number], hundredths: usize) -> Option<Number> {
    let index = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied()
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:<44} {:>10.1} {:<12}",
            self.name, self.value, self.unit
        )?;
        match self.ratio {
            Some(ratio) => write!(formatter, " ratio {ratio:>6.2}")?,
            None => write!(formatter, " ratio {:>6}", "-")?,
        }
        let Some(target) = self.target else {
            return write!(formatter, "  target      -  ok");
        };
        let sign = if self.higher_is_better { ">=" } else { "<=" };
        let verdict = if self.is_short() { "short" } else { "ok" };
        write!(formatter, "  target {sign} {target:.2}  {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, median, percentile};

    #[test]
    fn the_ratio_decides() {
        let figure = Figure::new("a", 90.0, "appends/s").ratio(0.9);
        assert!(!figure.is_short());
        assert!(!figure.clone().target(0.9).is_short());
        assert!(figure.clone().target(0.91).is_short());
        assert!(
            figure
                .target(0.91)
                .to_string()
                .ends_with("target >= 0.91  short")
        );
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let sorted: Vec<usize> = (0..200).collect();
        assert_eq!(percentile(&sorted, 50), Some(100));
        assert_eq!(percentile(&sorted, 99), Some(198));
        assert_eq!(percentile(&sorted, 100), Some(199));
        assert_eq!(percentile::<usize>(&[], 50), None);
    }

    #[test]
    fn less_can_be_better() {
        assert!(!Figure::lower("p99", 40.0, "ms").target(50.0).is_short());
    }

    #[test]
    fn a_baseline_of_nothing_is_short() {
        assert!(
            Figure::new("a", 0.0, "appends/s")
                .ratio(f64::NAN)
                .target(1.0)
                .is_short()
        );
    }
}
