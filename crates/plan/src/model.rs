//! The formulas of a plan. Each is written once: see [`crate::expression`].

use crate::assumption::Assumption as A;
use crate::assumptions::{Assumptions, ReadsFrom, WritesFrom};
use crate::expression::Expression;
use crate::output::Output as O;
use crate::unit::{DAY, YEAR};

const ONE: Expression = Expression::Constant(1.0, "1");
const TWO: Expression = Expression::Constant(2.0, "2");
const BITS: Expression = Expression::Constant(8.0, "8 bit/B");
const A_DAY: Expression = Expression::Constant(DAY, "86,400 s");
const A_YEAR: Expression = Expression::Constant(YEAR, "31,536,000 s");
const A_MONTH: Expression = Expression::Constant(30.0 * DAY, "2,592,000 s");
const GIGA: Expression = Expression::Constant(1e9, "10^9");

/// More replicas than this are a reason to think again.
pub(crate) const FEW_REPLICAS: f64 = 6.0;
const FEW: Expression = Expression::Constant(FEW_REPLICAS, "6");

/// The parts of the cost, each with the price that it needs.
const PRICED: [(O, A); 6] = [
    (O::InstancesCost, A::InstancePrice),
    (O::RedisCost, A::RedisPrice),
    (O::StoreCost, A::StorePrice),
    (O::StorageCost, A::StoragePrice),
    (O::TrafficCost, A::TrafficPrice),
    (O::PartitionsCost, A::PartitionPrice),
];

/// The formula of a result; none of costs without a price.
pub(crate) fn formula(output: O, of: &Assumptions) -> Option<Expression> {
    Some(match output {
        O::WritesPerSecond => match of.writes_from() {
            WritesFrom::Rate => A::WritesPerSecond.into(),
            WritesFrom::Users => A::Dau * A::CreateShare / A_DAY,
            WritesFrom::Reads if of.is_set(A::ReadShare) => {
                A::ReadsPerSecond * (ONE - A::ReadShare) / A::ReadShare
            }
            WritesFrom::Reads => A::ReadsPerSecond / A::ReadWriteRatio,
        },
        O::ReadsPerSecond => match of.reads_from() {
            ReadsFrom::Rate => A::ReadsPerSecond.into(),
            ReadsFrom::Users => A::Dau * A::ClickShare / A_DAY,
            ReadsFrom::Ratio => O::WritesPerSecond * A::ReadWriteRatio,
            ReadsFrom::Share => O::WritesPerSecond * A::ReadShare / (ONE - A::ReadShare),
        },
        O::PeakWritesPerSecond => O::WritesPerSecond * A::Peak,
        O::PeakReadsPerSecond => O::ReadsPerSecond * A::Peak,
        O::StoreReadsPerSecond => O::PeakReadsPerSecond * (ONE - A::HitRate),

        O::RecordsPerDay => O::WritesPerSecond * A_DAY,
        O::BytesPerDay => O::RecordsPerDay * A::RecordSize,
        O::BytesPerYear => O::WritesPerSecond * A_YEAR * A::RecordSize,
        O::Records => O::WritesPerSecond * A::Retention,
        O::StorageBytes => O::Records * A::RecordSize,
        O::BytesWithIndexes => O::StorageBytes * A::IndexFactor,
        O::BytesReplicated => O::BytesWithIndexes * A::Replication,
        O::ClickRecords => O::ReadsPerSecond * A::ClickRetention,
        O::ClickBytes => O::ClickRecords * A::ClickSize,

        O::InBits => O::WritesPerSecond * A::RequestSize * BITS,
        O::OutBits => O::ReadsPerSecond * A::ResponseSize * BITS,
        O::PeakInBits => O::PeakWritesPerSecond * A::RequestSize * BITS,
        O::PeakOutBits => O::PeakReadsPerSecond * A::ResponseSize * BITS,

        O::WindowLinks => O::WritesPerSecond * A::HotWindow,
        O::HotLinks => O::WindowLinks * A::HotShare,
        O::MemoryBytes => O::HotLinks * A::RecordSize,

        O::Instances => machines(O::PeakReadsPerSecond, A::InstanceRedirects),
        O::RedisNodesLeast => machines(O::PeakReadsPerSecond, A::RedisOpsHigh),
        O::RedisNodesMost => machines(O::PeakReadsPerSecond, A::RedisOpsLow),
        O::RedisNodesForMemory => (O::MemoryBytes / A::RedisMemory).ceil(),
        O::RedisNodes => Expression::from(O::RedisNodesMost).max(O::RedisNodesForMemory),
        O::RedisServers => O::RedisNodes * (ONE + A::RedisReplicas),
        O::Replicas => machines(O::StoreReadsPerSecond, A::ReplicaQueries),
        O::HitRateForFewReplicas => {
            let missed = FEW * A::ReplicaQueries * A::Utilisation / O::PeakReadsPerSecond;
            Expression::Constant(0.0, "0").max(ONE - missed)
        }
        O::Shards => (O::BytesWithIndexes / A::ShardStorage)
            .ceil()
            .max(machines(O::PeakWritesPerSecond, A::ShardWrites)),
        O::StoreServers => {
            let for_reads = ONE + (O::Replicas / O::Shards).ceil();
            O::Shards * Expression::from(A::Replication).max(for_reads)
        }
        O::KafkaPartitions => (O::PeakReadsPerSecond * A::ClickEventSize / A::PartitionThroughput)
            .ceil()
            .max(machines(O::PeakReadsPerSecond, A::CountedClicks)),

        O::Keyspace => Expression::from(A::CodeAlphabet).power(A::CodeLength),
        O::YearsUntilUsedUp => O::Keyspace / (O::WritesPerSecond * A_YEAR),
        O::UsedShare => O::Records / O::Keyspace,
        O::EvenOddsCodes => {
            (TWO * Expression::Constant(std::f64::consts::LN_2, "ln 2") * O::Keyspace).root()
        }
        O::ExpectedFirstClash => {
            (Expression::Constant(std::f64::consts::PI, "π") / TWO * O::Keyspace).root()
        }
        O::ClashOdds => clash_odds(O::Records.into(), O::Keyspace.into()),

        O::TotalCost => {
            let mut parts = PRICED
                .into_iter()
                .filter(|(_, price)| of.value(*price).is_some())
                .map(|(part, _)| Expression::from(part));
            let first = parts.next()?;
            parts.fold(first, |sum, part| sum + part)
        }
        part => {
            let (_, price) = PRICED.into_iter().find(|(priced, _)| *priced == part)?;
            of.value(price)?;
            match part {
                O::InstancesCost => O::Instances * price,
                O::RedisCost => O::RedisServers * price,
                O::StoreCost => O::StoreServers * price,
                O::StorageCost => O::BytesReplicated / GIGA * price,
                O::TrafficCost => O::OutBits / BITS * A_MONTH / GIGA * price,
                _ => O::KafkaPartitions * price,
            }
        }
    })
}

/// How many machines of this capacity carry a load.
fn machines(load: O, capacity: A) -> Expression {
    (load / (capacity * A::Utilisation)).ceil()
}

/// The birthday bound: the odds that two of `codes` drawn from `keyspace` are the same.
fn clash_odds(codes: Expression, keyspace: Expression) -> Expression {
    (codes.clone() * (codes - ONE) / (TWO * keyspace)).odds()
}

/// The odds that of so many codes, drawn at random, two are the same: the birthday bound
/// `1 − e^(−n(n−1)/2N)`, which is a little below what is exact.
#[must_use]
pub fn birthday_odds(codes: f64, keyspace: f64) -> f64 {
    let number = |value| Expression::Constant(value, "");
    clash_odds(number(codes), number(keyspace)).value(&NoValues)
}

/// For formulas of constants alone.
struct NoValues;

impl crate::expression::Values for NoValues {
    fn assumption(&self, _: A) -> f64 {
        f64::NAN
    }
    fn output(&self, _: O) -> f64 {
        f64::NAN
    }
    fn used(&self, _: O) -> &std::collections::BTreeSet<A> {
        const { &std::collections::BTreeSet::new() }
    }
}
