//! The little statistics that a table of rounds needs.

use std::time::Duration;

/// Median and extremes of a few rounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// None when there are no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Some(Self { median, low, high })
    }

    /// The ratio round by round: what disturbed both of a round cancels out.
    pub(crate) fn of_ratios(values: &[f64], references: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = values.iter().zip(references).map(|(v, r)| v / r).collect();
        Self::of(&ratios)
    }
}

/// Of each hundred, sorted, the one at this place.
pub(crate) fn of_hundred(place: usize, times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort();
    let place = (times.len() * place).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

/// The slope of the least-squares line through points (x, y).
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_even_many_is_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0]), Some(Spread { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(Spread::of(&[9.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_ninety_ninth_of_a_hundred() {
        let times = (1..=200).map(Duration::from_millis);
        assert_eq!(of_hundred(99, times), Duration::from_millis(198));
        assert_eq!(of_hundred(99, std::iter::empty()), Duration::ZERO);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let spread = Spread::of_ratios(&[2.0, 20.0], &[4.0, 40.0]).unwrap();
        assert_eq!((spread.low, spread.high), (0.5, 0.5));
    }

    #[test]
    fn a_constant_does_not_change_the_slope() {
        let slope = slope(&[(1.0, 105.0), (2.0, 110.0), (4.0, 120.0)]);
        assert!((slope - 5.0).abs() < 1e-9, "{slope}");
    }
}
