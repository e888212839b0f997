//! What the form of the planner says.

use tollgate_plan::{
    Assumption, Assumptions, Conflict, DEFAULT_POINTS, Origin, Setting, Strategy, Sweep,
    SweepTable, Unit,
};

use crate::dashboard::form::Fields;
use crate::dashboard::slider::{Wrong, sentence};

/// What the traffic follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Users,
    Rates,
}

/// Only where traffic follows from users.
pub(super) const OF_USERS: [Assumption; 3] = [
    Assumption::Dau,
    Assumption::CreateShare,
    Assumption::ClickShare,
];
/// Only where it does not.
pub(super) const OF_RATES: [Assumption; 2] =
    [Assumption::WritesPerSecond, Assumption::ReadWriteRatio];

pub(super) const STRATEGIES: [Strategy; 5] = [
    Strategy::Counter,
    Strategy::Hash,
    Strategy::Snowflake,
    Strategy::Pool,
    Strategy::Random,
];

/// The form, as far as it makes sense.
pub(super) struct Inputs {
    pub(super) by: By,
    pub(super) assumptions: Assumptions,
    /// Over what the sweep goes, and what comes of it.
    pub(super) sweep: Option<(Assumption, SweepTable)>,
    pub(super) wrong: Wrong,
    /// The same on the command line.
    pub(super) command: String,
    /// With the sweep, too.
    pub(super) sweep_command: String,
}

/// The value of a field that is left empty, where the planner itself has none or it has to be told.
fn usual(by: By, one: Assumption, fields: &Fields) -> &'static str {
    match (by, one) {
        (By::Users, Assumption::Dau) => "10M",
        (By::Rates, Assumption::WritesPerSecond)
            if fields.text(Assumption::ReadsPerSecond.name()).is_empty() =>
        {
            "200"
        }
        _ => "",
    }
}

impl Inputs {
    pub(super) fn read(fields: &Fields) -> Self {
        let by = match fields.text("by") {
            "rates" => By::Rates,
            _ => By::Users,
        };
        let mut assumptions = Assumptions::new();
        let mut wrong = Wrong::new();
        let mut command = "tollgate plan".to_owned();
        let named = STRATEGIES
            .into_iter()
            .find(|one| one.as_str() == fields.text("strategy"));
        if let Some(strategy) = named
            && strategy != assumptions.strategy
        {
            assumptions.strategy = strategy;
            command = format!("{command} --strategy {}", strategy.as_str());
        }
        let others: &[Assumption] = match by {
            By::Users => &OF_RATES,
            By::Rates => &OF_USERS,
        };
        // Traffic stands first, and what it follows from decides about defaults of others.
        for &one in Assumption::ALL.iter().filter(|one| !others.contains(one)) {
            let usual = usual(by, one, fields);
            let text = match fields.text(one.name()) {
                "" => usual,
                text => text,
            };
            if text.is_empty() {
                continue;
            }
            match one.parse(text) {
                Ok(setting) if !usual.is_empty() || differs(&assumptions, setting) => {
                    assumptions.set(setting, Origin::Given);
                    // What was read as a number has nothing that a shell would take for something else.
                    let text: String = text.split_whitespace().collect();
                    command = format!("{command} --{} {text}", one.name().replace('_', "-"));
                }
                Ok(_) => (),
                Err(error) => {
                    wrong.insert(one.name(), sentence(&error.to_string()));
                }
            }
        }
        let mut inputs = Self {
            by,
            assumptions,
            sweep: None,
            wrong,
            sweep_command: String::new(),
            command,
        };
        if let Err(conflict) = inputs.assumptions.check() {
            inputs.conflict(conflict);
            return inputs;
        }
        match inputs.swept(fields) {
            Ok((assumption, table, text)) => {
                inputs.sweep = Some((assumption, table));
                inputs.sweep_command = format!("{} --sweep {text} --svg plan.svg", inputs.command);
            }
            Err((field, reason)) => {
                inputs.wrong.insert(field, sentence(&reason));
            }
        }
        inputs
    }

    fn conflict(&mut self, Conflict(one, other, why): Conflict) {
        for (here, there) in [(one, other), (other, one)] {
            let reason = format!("Does not go together with {there}: {why}.");
            self.wrong.insert(here.name(), reason);
        }
    }

    /// The sweep and its text, or the field that is wrong.
    fn swept(
        &self,
        fields: &Fields,
    ) -> Result<(Assumption, SweepTable, String), (&'static str, String)> {
        let one = match fields.text("sweep") {
            "" => Assumption::HitRate,
            name => Assumption::named(name)
                .ok_or_else(|| ("sweep", "there is no such assumption".to_owned()))?,
        };
        let (least, most) = self.range(one);
        let end = |name: &'static str, usual: f64| match fields.text(name) {
            "" => Ok(usual),
            text => match one.parse(text) {
                Ok(setting) => Ok(setting.value()),
                Err(error) => Err((name, error.to_string())),
            },
        };
        let (from, to) = (end("from", least)?, end("to", most)?);
        let unit = match one.unit() {
            Unit::Seconds => "s",
            _ => "",
        };
        let text = format!("{}={from}{unit}..{to}{unit}", one.name());
        let sweep = Sweep::parse(&text, DEFAULT_POINTS);
        let sweep = sweep.map_err(|error| ("to", error.to_string()))?;
        let table = sweep.run(&self.assumptions).map_err(|conflict| {
            let reason = format!("the chart cannot go over it: {conflict}");
            ("sweep", reason)
        })?;
        Ok((one, table, text))
    }

    /// From where to where a sweep goes if it is not told.
    pub(super) fn range(&self, one: Assumption) -> (f64, f64) {
        if one == Assumption::HitRate {
            return (0.5, 0.99);
        }
        let (least, most) = one.range();
        let value = self.assumptions.value(one).unwrap_or(1.0);
        let half = match one.unit() {
            Unit::Whole => (value / 2.0).floor(),
            _ => value / 2.0,
        };
        let double = if value > 0.0 { value * 2.0 } else { 1.0 };
        (half.max(least), double.min(most))
    }

    pub(super) fn wrong(&self, name: &str) -> Option<&str> {
        self.wrong.get(name).map(String::as_str)
    }
}

fn differs(assumptions: &Assumptions, setting: Setting) -> bool {
    assumptions.value(setting.assumption()) != Some(setting.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Inputs {
        Inputs::read(&Fields::parse(query.as_bytes()))
    }

    #[test]
    fn what_is_as_usual_is_not_given() {
        let plain = read("");
        assert_eq!(plain.command, "tollgate plan --dau 10M");
        let same = read("by=users&dau=10M&hit_rate=90%25&peak=10&retention=5y&writes_per_second=7");
        assert_eq!(same.command, plain.command);
        let other =
            read("by=rates&writes_per_second=200&peak=10&retention=10+y&strategy=random&dau=x");
        assert_eq!(
            other.command,
            "tollgate plan --strategy random --writes-per-second 200 --peak 10 --retention 10y"
        );
        assert!(other.wrong.is_empty(), "{:?}", other.wrong);
        let reads = read("by=rates&reads_per_second=5k&writes_per_second=&read_share=99%25");
        assert_eq!(
            reads.command,
            "tollgate plan --reads-per-second 5k --read-share 99%"
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_field() {
        let fields = |query| read(query).wrong.into_keys().collect::<Vec<_>>();
        assert_eq!(fields("hit_rate=90&dau=many"), ["dau", "hit_rate"]);
        assert_eq!(
            fields("click_share=10%25&reads_per_second=5"),
            ["click_share", "reads_per_second"]
        );
        assert_eq!(fields("sweep=x"), ["sweep"]);
        assert_eq!(fields("by=rates&sweep=dau"), ["sweep"]);
        assert_eq!(fields("from=many"), ["from"]);
        assert_eq!(fields("from=0.9&to=0.8"), ["to"]);
    }

    #[test]
    fn every_sweep_that_is_offered_can_be_drawn() {
        for slider in super::super::form::SLIDERS {
            let by = if OF_RATES.contains(&slider.0) {
                "rates"
            } else {
                "users"
            };
            let inputs = read(&format!("by={by}&sweep={}", slider.0));
            assert!(inputs.wrong.is_empty(), "{}: {:?}", slider.0, inputs.wrong);
        }
        assert!(read("hot_share=0&sweep=hot_share").wrong.is_empty());
    }
}
