//! Measured values of one thing, and the figures that stand for them.

use serde::Serialize;

/// Values in the order in which they were measured. Never empty.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// # Panics
    /// Nothing was measured.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "a sample has values");
        Self(values)
    }

    pub(crate) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The value that this part of all values does not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let [value] = self.quantiles([part]);
        value
    }

    /// The same for several parts, sorting once.
    pub(crate) fn quantiles<const N: usize>(&self, parts: [f64; N]) -> [f64; N] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        parts.map(|part| {
            let rank = (part * sorted.len() as f64).ceil() as usize;
            sorted[rank.clamp(1, sorted.len()) - 1]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let sample = Sample::new((1..=200).rev().map(f64::from));
        let found = [sample.min(), sample.median(), sample.quantile(0.99), sample.max()];
        assert_eq!(found, [1.0, 100.0, 198.0, 200.0]);
        assert_eq!(Sample::one(7.0).quantile(0.99), 7.0);
    }
}
