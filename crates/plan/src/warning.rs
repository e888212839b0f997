//! Where a number leads to another design.

use serde::Serialize;

use crate::assumption::Assumption as A;
use crate::assumptions::Strategy;
use crate::model::{FEW_REPLICAS, birthday_odds};
use crate::output::Output as O;
use crate::plan::Plan;
use crate::unit::{Unit, YEAR};

/// Codes should last as long as this, in years.
const LONG: f64 = 10.0;
/// Odds of a clash from which on it has to be expected.
const EVEN: f64 = 0.5;
/// Codes longer than this are no short links any more, and are not proposed.
const LONGEST: u32 = 64;
/// Characters of a snowflake code in Base62: 63 bits.
const SNOWFLAKE_BITS: f64 = 63.0;

/// A warning's subject; the name stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// So many misses that many replicas are needed.
    HitRate,
    /// Codes do not last ten years.
    CodesRunOut,
    /// Codes that are drawn clash.
    CodesClash,
    /// The strategy makes longer codes than the plan has.
    CodesTooShortForStrategy,
    /// Hot links do not fit into one Redis node.
    HotSet,
    /// Links do not fit into one shard, or come too fast for it.
    Shards,
    /// Single clicks take more room than all links with their copies.
    Clicks,
    /// One consumer cannot count all clicks.
    Counting,
    /// One machine carries everything.
    OneMachine,
}

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// What is the matter, and what would help.
    pub message: String,
}

pub(crate) fn warnings(plan: &Plan) -> Vec<Warning> {
    let all = [
        (WarningKind::HitRate, hit_rate(plan)),
        (WarningKind::CodesRunOut, codes_run_out(plan)),
        (WarningKind::CodesClash, codes_clash(plan)),
        (WarningKind::CodesTooShortForStrategy, snowflake(plan)),
        (WarningKind::HotSet, hot_set(plan)),
        (WarningKind::Shards, shards(plan)),
        (WarningKind::Clicks, clicks(plan)),
        (WarningKind::Counting, counting(plan)),
        (WarningKind::OneMachine, one_machine(plan)),
    ];
    let told = all
        .into_iter()
        .filter_map(|(kind, message)| message.map(|message| Warning { kind, message }));
    told.collect()
}

fn show(plan: &Plan, output: O) -> String {
    output.unit().show_short(plan.value(output))
}

fn assumed(plan: &Plan, assumption: A) -> String {
    assumption.unit().show_short(plan.assumed(assumption))
}

fn hit_rate(plan: &Plan) -> Option<String> {
    (plan.value(O::Replicas) > FEW_REPLICAS).then(|| {
        format!(
            "At a hit rate of {} the store needs {} replicas for {} reads at peak. A hit rate of {} \
             would need {FEW_REPLICAS}: give the cache more memory, or links more time in it.",
            assumed(plan, A::HitRate),
            show(plan, O::Replicas),
            show(plan, O::StoreReadsPerSecond),
            show(plan, O::HitRateForFewReplicas),
        )
    })
}

fn codes_run_out(plan: &Plan) -> Option<String> {
    let years = plan.value(O::YearsUntilUsedUp);
    let needed = plan.value(O::WritesPerSecond) * LONG * YEAR;
    (years < LONG).then(|| {
        let after = match years {
            years if years < 1.0 => Unit::Seconds.show_short(years * YEAR),
            years => Unit::Years.show_short(years),
        };
        format!(
            "{} characters out of {} make {} codes, which are used up after {after}. {}",
            assumed(plan, A::CodeLength),
            assumed(plan, A::CodeAlphabet),
            show(plan, O::Keyspace),
            longer(plan, "would last ten years", |keyspace| keyspace >= needed),
        )
    })
}

fn codes_clash(plan: &Plan) -> Option<String> {
    let odds = plan.value(O::ClashOdds);
    let strategy = plan.assumptions().strategy;
    let drawn = strategy.clashes() && odds >= EVEN;
    drawn.then(|| {
        let soon = plan.value(O::EvenOddsCodes) / plan.value(O::WritesPerSecond);
        let records = plan.value(O::Records);
        format!(
            "Codes by the strategy {} clash: even odds are reached with {} codes, after {}. Each \
             clash costs another try, never a link; the strategy counter has none. {}",
            strategy.as_str(),
            show(plan, O::EvenOddsCodes),
            Unit::Seconds.show_short(soon),
            longer(plan, "would keep the odds below one half", |keyspace| {
                birthday_odds(records, keyspace) < EVEN
            }),
        )
    })
}

/// The least length of codes that is enough, as a sentence.
fn longer(plan: &Plan, does: &str, is_enough: impl Fn(f64) -> bool) -> String {
    let alphabet = plan.assumed(A::CodeAlphabet);
    let length = (1..=LONGEST).find(|&length| is_enough(alphabet.powf(f64::from(length))));
    match length {
        Some(length) => format!("{length} characters {does}."),
        None => format!("No length up to {LONGEST} {does}."),
    }
}

fn snowflake(plan: &Plan) -> Option<String> {
    let by_time = plan.assumptions().strategy == Strategy::Snowflake;
    let length = (SNOWFLAKE_BITS / plan.assumed(A::CodeAlphabet).log2()).ceil();
    (by_time && plan.assumed(A::CodeLength) < length).then(|| {
        format!(
            "Codes by the strategy snowflake have {length} characters out of {}, whatever is planned: \
             plan with --code-length {length}.",
            assumed(plan, A::CodeAlphabet)
        )
    })
}

fn hot_set(plan: &Plan) -> Option<String> {
    (plan.value(O::MemoryBytes) > plan.assumed(A::RedisMemory)).then(|| {
        format!(
            "The hot links take {}, more than the {} of a Redis node: a cluster is needed, a shorter \
             window, or a smaller share.",
            show(plan, O::MemoryBytes),
            assumed(plan, A::RedisMemory),
        )
    })
}

fn shards(plan: &Plan) -> Option<String> {
    (plan.value(O::Shards) > 1.0).then(|| {
        format!(
            "Links and indexes take {} and arrive with {} at peak: {} shards are needed. Links that \
             are kept for less than {} take less.",
            show(plan, O::BytesWithIndexes),
            show(plan, O::PeakWritesPerSecond),
            show(plan, O::Shards),
            assumed(plan, A::Retention),
        )
    })
}

fn clicks(plan: &Plan) -> Option<String> {
    (plan.value(O::ClickBytes) > plan.value(O::BytesReplicated)).then(|| {
        format!(
            "Single clicks of {} take {}, more than all links with their copies ({}): keep them for \
             less time, or archive them; the statistics stay.",
            assumed(plan, A::ClickRetention),
            show(plan, O::ClickBytes),
            show(plan, O::BytesReplicated),
        )
    })
}

fn counting(plan: &Plan) -> Option<String> {
    let most = plan.assumed(A::CountedClicks) * plan.assumed(A::Utilisation);
    let average = plan.value(O::ReadsPerSecond);
    (average > most).then(|| {
        format!(
            "{} clicks on average are more than the {} that one consumer counts: the backlog would \
             grow without end. {} consumers keep up with the peak.",
            show(plan, O::ReadsPerSecond),
            Unit::PerSecond.show_short(most),
            show(plan, O::KafkaPartitions),
        )
    })
}

/// The default, with everything in one process, does it.
fn one_machine(plan: &Plan) -> Option<String> {
    let is_one = |output| plan.value(output) <= 1.0;
    let counted = plan.value(O::ReadsPerSecond) <= plan.assumed(A::CountedClicks);
    let enough = is_one(O::Instances) && is_one(O::Shards) && counted;
    enough.then(|| {
        format!(
            "One machine carries this with the embedded store: {} redirects at peak are {} of what \
             one core answers. More servers are for availability, not for load.",
            show(plan, O::PeakReadsPerSecond),
            Unit::Share
                .show_short(plan.value(O::PeakReadsPerSecond) / plan.assumed(A::InstanceRedirects)),
        )
    })
}
