//! All assumptions of one plan: what was given, what was measured, and defaults for the rest.

use serde::Serialize;

use crate::assumption::{Assumption, Setting};

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody: the default holds.
    Default,
    /// Whoever asks for the plan.
    Given,
    /// The metrics of running instances.
    Measured,
    /// It is swept over.
    Swept,
}

impl Origin {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Given => "given",
            Self::Measured => "measured",
            Self::Swept => "swept",
        }
    }
}

/// How codes are made, as far as it decides whether two can be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Numbers, each given once.
    #[default]
    Counter,
    /// A hash of the target.
    Hash,
    /// Time, worker and sequence.
    Snowflake,
    /// Made ahead of time, each handed out once.
    Pool,
    /// Drawn at random.
    Random,
}

impl Strategy {
    /// Whether two links can be offered the same code.
    #[must_use]
    pub fn clashes(self) -> bool {
        matches!(self, Self::Hash | Self::Random)
    }

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Hash => "hash",
            Self::Snowflake => "snowflake",
            Self::Pool => "pool",
            Self::Random => "random",
        }
    }
}

/// What a plan is made by.
#[derive(Debug, Clone, Default)]
pub struct Assumptions {
    settings: Vec<(Setting, Origin)>,
    /// How codes are made.
    pub strategy: Strategy,
}

/// Two assumptions that cannot both hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} and {1} do not go together: {why}", why = self.2)]
pub struct Conflict(pub Assumption, pub Assumption, pub &'static str);

/// What the number of writes follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WritesFrom {
    Users,
    Rate,
    Reads,
}

/// What the number of reads follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadsFrom {
    Users,
    Rate,
    Ratio,
    Share,
}

/// Averages by users have the night in them, rates usually have not.
const PEAK_OF_RATES: f64 = 5.0;

impl Assumptions {
    /// Nothing but defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one; what it was before is forgotten.
    pub fn set(&mut self, setting: Setting, origin: Origin) {
        self.settings
            .retain(|(before, _)| before.assumption() != setting.assumption());
        self.settings.push((setting, origin));
    }

    /// Takes what was measured, unless what is given says otherwise. Answers whether it was taken.
    pub fn fill(&mut self, measured: Setting) -> bool {
        use Assumption as A;
        let before: &[A] = match measured.assumption() {
            A::WritesPerSecond => &[A::WritesPerSecond, A::Dau, A::CreateShare, A::ClickShare],
            A::ReadsPerSecond => &[
                A::ReadsPerSecond,
                A::Dau,
                A::ClickShare,
                A::ReadWriteRatio,
                A::ReadShare,
            ],
            _ => &[measured.assumption()],
        };
        let from_reads = measured.assumption() == A::WritesPerSecond
            && self.is_set(A::ReadsPerSecond)
            && (self.is_set(A::ReadWriteRatio) || self.is_set(A::ReadShare));
        let free = !from_reads && !before.iter().any(|&one| self.is_set(one));
        if free {
            self.set(measured, Origin::Measured);
        }
        free
    }

    /// The value that holds; prices that nobody gave have none.
    #[must_use]
    pub fn value(&self, assumption: Assumption) -> Option<f64> {
        let set = self.find(assumption).map(|(setting, _)| setting.value());
        let by_rates = || {
            let peak = assumption == Assumption::Peak && !self.is_by_users();
            peak.then_some(PEAK_OF_RATES)
        };
        set.or_else(by_rates).or_else(|| assumption.default())
    }

    /// Who says so.
    #[must_use]
    pub fn origin(&self, assumption: Assumption) -> Origin {
        self.find(assumption)
            .map_or(Origin::Default, |(_, origin)| *origin)
    }

    /// Checks what belongs together.
    ///
    /// # Errors
    /// Two that contradict each other.
    pub fn check(&self) -> Result<(), Conflict> {
        use Assumption as A;
        const TWICE: &str = "both tell the same";
        const UNUSED: &str = "the second is only used with dau";
        for (one, other, why) in [
            (A::WritesPerSecond, A::Dau, TWICE),
            (A::WritesPerSecond, A::CreateShare, UNUSED),
            (A::WritesPerSecond, A::ClickShare, UNUSED),
            (A::ReadsPerSecond, A::ClickShare, TWICE),
            (A::ReadWriteRatio, A::ClickShare, TWICE),
            (A::ReadWriteRatio, A::ReadShare, TWICE),
            (A::ReadShare, A::ClickShare, TWICE),
        ] {
            if self.is_set(one) && self.is_set(other) {
                return Err(Conflict(one, other, why));
            }
        }
        // Without writes, these tell them from the reads.
        if self.is_set(A::ReadsPerSecond) && self.writes_from() != WritesFrom::Reads {
            for other in [A::ReadWriteRatio, A::ReadShare] {
                if self.is_set(other) {
                    let why = "writes are told as well, so the reads are told twice";
                    return Err(Conflict(A::ReadsPerSecond, other, why));
                }
            }
        }
        if self.value(A::RedisOpsLow) > self.value(A::RedisOpsHigh) {
            let why = "the first has to be the smaller one";
            return Err(Conflict(A::RedisOpsLow, A::RedisOpsHigh, why));
        }
        Ok(())
    }

    pub(crate) fn writes_from(&self) -> WritesFrom {
        let users = self.is_set(Assumption::Dau) || self.is_set(Assumption::CreateShare);
        if self.is_set(Assumption::WritesPerSecond) {
            WritesFrom::Rate
        } else if self.is_set(Assumption::ReadsPerSecond) && !users {
            WritesFrom::Reads
        } else {
            WritesFrom::Users
        }
    }

    pub(crate) fn reads_from(&self) -> ReadsFrom {
        if self.is_set(Assumption::ReadsPerSecond) {
            ReadsFrom::Rate
        } else if self.is_set(Assumption::ReadWriteRatio) {
            ReadsFrom::Ratio
        } else if self.is_set(Assumption::ReadShare) {
            ReadsFrom::Share
        } else if self.writes_from() == WritesFrom::Users {
            ReadsFrom::Users
        } else {
            ReadsFrom::Ratio
        }
    }

    fn is_by_users(&self) -> bool {
        self.writes_from() == WritesFrom::Users
    }

    pub(crate) fn is_set(&self, assumption: Assumption) -> bool {
        self.find(assumption).is_some()
    }

    fn find(&self, assumption: Assumption) -> Option<&(Setting, Origin)> {
        self.settings
            .iter()
            .find(|(setting, _)| setting.assumption() == assumption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(texts: &[(Assumption, &str)]) -> Assumptions {
        let mut all = Assumptions::new();
        for (assumption, text) in texts {
            all.set(assumption.parse(text).unwrap(), Origin::Given);
        }
        all
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        use Assumption as A;
        assert!(Assumptions::new().check().is_ok());
        let both = given(&[(A::Dau, "1M"), (A::WritesPerSecond, "5")]);
        assert_eq!(
            both.check().unwrap_err().to_string(),
            "writes_per_second and dau do not go together: both tell the same"
        );
        assert!(given(&[(A::RedisOpsLow, "300k")]).check().is_err());
        let reads = [(A::ReadsPerSecond, "5"), (A::ReadWriteRatio, "10")];
        assert!(given(&reads).check().is_ok());
        for other in [(A::ReadWriteRatio, "10"), (A::ReadShare, "90%")] {
            assert!(given(&[reads[0], other]).check().is_ok());
            for writes in [(A::WritesPerSecond, "5"), (A::Dau, "5")] {
                assert!(given(&[reads[0], other, writes]).check().is_err());
            }
        }
    }

    #[test]
    fn measured_values_give_way_to_given_ones() {
        use Assumption as A;
        let mut all = given(&[(A::Dau, "1M"), (A::HitRate, "0.5")]);
        for (assumption, value) in [
            (A::WritesPerSecond, 7.0),
            (A::ReadsPerSecond, 7.0),
            (A::HitRate, 0.7),
        ] {
            assert!(!all.fill(assumption.setting(value).unwrap()));
        }
        assert_eq!(all.value(A::HitRate), Some(0.5));
        let mut none = Assumptions::new();
        assert!(none.fill(A::HitRate.setting(0.7).unwrap()));
        assert_eq!(none.value(A::HitRate), Some(0.7));
        assert_eq!(none.origin(A::HitRate), Origin::Measured);
    }

    #[test]
    fn measured_values_never_contradict_given_ones() {
        use Assumption as A;
        let texts = [
            (A::Dau, "1M"),
            (A::CreateShare, "1%"),
            (A::ClickShare, "50%"),
            (A::WritesPerSecond, "3"),
            (A::ReadsPerSecond, "5"),
            (A::ReadWriteRatio, "10"),
            (A::ReadShare, "90%"),
        ];
        for chosen in 0..1 << texts.len() {
            let some = texts.iter().enumerate();
            let some = some.filter(|(at, _)| chosen >> at & 1 == 1);
            let mut all = given(&some.map(|(_, one)| *one).collect::<Vec<_>>());
            if all.check().is_err() {
                continue;
            }
            all.fill(A::WritesPerSecond.setting(7.0).unwrap());
            all.fill(A::ReadsPerSecond.setting(700.0).unwrap());
            assert_eq!(all.check(), Ok(()), "{chosen:b}");
        }
    }

    #[test]
    fn peaks_are_higher_where_nights_are_in_the_average() {
        use Assumption as A;
        assert_eq!(Assumptions::new().value(A::Peak), Some(10.0));
        let rates = given(&[(A::WritesPerSecond, "200")]);
        assert_eq!(rates.value(A::Peak), Some(5.0));
    }
}
