//! Which endpoints get traffic, decided by what is known of them. Everything here is a function of
//! its arguments: `control` gathers the facts, and puts the answer into the plan.

mod advice;
mod outlier;
mod slow_start;
mod standing;
mod verdict;

pub use advice::{Advice, AdvisedRest, AdvisedWeight};
pub use outlier::{Ejection, OutlierRules, SuccessRules, Tally, ejections_max, stragglers};
pub use slow_start::Share;
pub use standing::{Facts, Mode, Reason, Rules, Standing, Standings, Tier, standing};
pub use verdict::{State, Thresholds, Verdict};

#[cfg(test)]
mod properties;
