//! What a plan is made of: each assumption with its unit, range, default, and where that is from.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::unit::{DAY, NotOfUnit, Unit, YEAR};

/// The machine that [`Basis::Benchmark`] was measured on.
pub const MACHINE: &str = "a virtual machine with two cores of an AMD EPYC, redirects on one of them, Debian 12, November 2026";

/// Where assumptions belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// How many create and click.
    Traffic,
    /// What is kept, and for how long.
    Storage,
    /// What goes over the wire.
    Bandwidth,
    /// What is asked for again and again.
    Memory,
    /// What one machine can do.
    Capacity,
    /// What codes are made of.
    Codes,
    /// What it costs.
    Prices,
}

impl Group {
    /// As a heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic",
            Self::Storage => "Storage",
            Self::Bandwidth => "Bandwidth",
            Self::Memory => "Memory",
            Self::Capacity => "Capacity of one machine",
            Self::Codes => "Codes",
            Self::Prices => "Prices, a month",
        }
    }
}

/// Where a default comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A usual value to begin with, and a word about it: replace it by your own.
    Rule(&'static str),
    /// Measured by the benchmark that is named, on [`MACHINE`].
    Benchmark(&'static str),
    /// There is no default.
    None,
}

/// All there is to know about an assumption.
#[derive(Debug)]
struct Spec {
    name: &'static str,
    group: Group,
    unit: Unit,
    least: f64,
    most: f64,
    default: Option<f64>,
    basis: Basis,
    help: &'static str,
}

macro_rules! assumptions {
    ($($variant:ident $name:literal $group:ident $unit:ident $least:expr, $most:expr, $default:expr,
       $basis:expr, $help:literal;)*) => {
        /// A number that a plan is made by. Its name is that of the flag, with underscores.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Assumption {
            $(#[doc = $help] $variant,)*
        }

        impl Assumption {
            /// Every one, in the order in which people are told.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        const SPECS: &[Spec] = &[$(Spec {
            name: $name,
            group: Group::$group,
            unit: Unit::$unit,
            least: $least,
            most: $most,
            default: $default,
            basis: $basis,
            help: $help,
        }),*];
    };
}

use Basis::{Benchmark, Rule};

/// Not zero, so that nothing is divided by it.
const SOME: f64 = 1e-9;

assumptions! {
    Dau "dau" Traffic Count 1.0, 1e12, Some(1e7), Rule("an example"),
        "Users a day";
    CreateShare "create_share" Traffic Share SOME, 1e3, Some(0.01), Rule("an example"),
        "Links that a user creates a day: 1% if one of a hundred users creates one";
    ClickShare "click_share" Traffic Share SOME, 1e3, Some(0.5), Rule("an example"),
        "Links that a user follows a day: 50% if every other user follows one";
    WritesPerSecond "writes_per_second" Traffic PerSecond SOME, 1e9, None, Basis::None,
        "Links created, on average, instead of --dau; also by the day: 100000/d";
    ReadsPerSecond "reads_per_second" Traffic PerSecond SOME, 1e11, None, Basis::None,
        "Redirects, on average; alone, writes follow from --read-write-ratio";
    ReadWriteRatio "read_write_ratio" Traffic Factor 1e-3, 1e7, Some(100.0), Rule(""),
        "Redirects for each link created, where nothing else tells";
    ReadShare "read_share" Traffic Share 1e-3, 0.999_999_9, None, Basis::None,
        "The share of redirects in all requests, instead of --read-write-ratio: 99% is 99:1";
    Peak "peak" Traffic Factor 1.0, 1e4, Some(10.0),
        Rule("10 where traffic follows from users, whose nights are in the average; 5 otherwise"),
        "How many times the average the busiest moments have; 5 by default if rates are given";
    RecordSize "record_size" Storage Bytes 1.0, 1e9, Some(500.0), Rule("a link with its fields"),
        "A link in the store, without indexes";
    Retention "retention" Storage Seconds 60.0, 1000.0 * YEAR, Some(5.0 * YEAR), Rule(""),
        "How long links are kept; a year has 365 days";
    IndexFactor "index_factor" Storage Factor 1.0, 100.0, Some(1.5), Rule("half as much again"),
        "By how much indexes multiply the size of links";
    Replication "replication" Storage Whole 1.0, 100.0, Some(3.0), Rule("a primary and two replicas"),
        "How many copies of the store are kept";
    ClickSize "click_size" Storage Bytes 0.0, 1e9, Some(386.0),
        Benchmark("benches/statistics/run: bytes of the store for each click"),
        "A single click in the store, its part of the roll-ups included";
    ClickRetention "click_retention" Storage Seconds 0.0, 1000.0 * YEAR, Some(90.0 * DAY),
        Rule("the default of clicks.retain_raw"),
        "How long single clicks are kept";
    RequestSize "request_size" Bandwidth Bytes 0.0, 1e9, Some(500.0), Rule("as large as a link"),
        "What creating a link brings in";
    ResponseSize "response_size" Bandwidth Bytes 0.0, 1e9, Some(204.0),
        Benchmark("benches/edge/run: bytes of an answer"),
        "A redirect's answer";
    HotWindow "hot_window" Memory Seconds 1.0, 1000.0 * YEAR, Some(30.0 * DAY), Rule(""),
        "The age up to which links are followed often";
    HotShare "hot_share" Memory Share 0.0, 1.0, Some(0.2), Rule("20 % get most of the clicks"),
        "The share of the links of that age that is";
    HitRate "hit_rate" Memory Share 0.0, 1.0, Some(0.9), Rule(""),
        "The share of redirects that a cache answers";
    InstanceRedirects "instance_redirects" Capacity PerSecond 1.0, 1e9, Some(124_960.0),
        Benchmark("benches/capture/run: redirects a second with clicks on, all links cached"),
        "Redirects that an instance with one core answers";
    RedisOpsLow "redis_ops_low" Capacity PerSecond 1.0, 1e9, Some(1e5), Rule("a careful value"),
        "Look-ups that a Redis node answers at least";
    RedisOpsHigh "redis_ops_high" Capacity PerSecond 1.0, 1e9, Some(2e5), Rule("a fast machine"),
        "Look-ups that a Redis node answers at best";
    RedisMemory "redis_memory" Capacity Bytes 1e6, 1e15, Some(3.2e10), Rule(""),
        "Memory of a Redis node for links";
    RedisReplicas "redis_replicas" Capacity Whole 0.0, 100.0, Some(1.0), Rule("one to take over"),
        "Replicas of each Redis node";
    ReplicaQueries "replica_queries" Capacity PerSecond 0.01, 1e9, Some(100.0),
        Rule("10 ms each, one after the other"),
        "Reads that a replica of the store answers";
    ShardStorage "shard_storage" Capacity Bytes 1e6, 1e18, Some(1e12), Rule(""),
        "Links and indexes that a shard of the store holds";
    ShardWrites "shard_writes" Capacity PerSecond 0.01, 1e9, Some(5e3), Rule("a primary on SSDs"),
        "Links that a shard of the store takes in";
    ClickEventSize "click_event_size" Capacity Bytes 1.0, 1e6, Some(300.0),
        Rule("user agent and referrer of a browser, as the spool keeps them"),
        "A click on its way to being counted";
    PartitionThroughput "partition_throughput" Capacity BytesPerSecond 1.0, 1e12, Some(1e7),
        Rule(""),
        "What a Kafka partition takes in";
    CountedClicks "counted_clicks" Capacity PerSecond 1.0, 1e9, Some(32_701.0),
        Benchmark("benches/statistics/run: clicks a second into roll-ups"),
        "Clicks that one consumer counts; each has a partition";
    Utilisation "utilisation" Capacity Share 0.01, 1.0, Some(1.0), Rule("peaks are in the peak factor"),
        "The share of what a machine can do that is asked of it";
    CodeAlphabet "code_alphabet" Codes Whole 2.0, 256.0, Some(62.0), Rule("Base62"),
        "Characters that codes are made of";
    CodeLength "code_length" Codes Whole 1.0, 64.0, Some(7.0), Rule("the default of links.code_length"),
        "Characters of a code";
    InstancePrice "instance_price" Prices Money 0.0, 1e9, None, Basis::None,
        "An instance";
    RedisPrice "redis_price" Prices Money 0.0, 1e9, None, Basis::None,
        "A Redis server";
    StorePrice "store_price" Prices Money 0.0, 1e9, None, Basis::None,
        "A server of the store";
    StoragePrice "storage_price" Prices Money 0.0, 1e9, None, Basis::None,
        "A gigabyte of the store";
    TrafficPrice "traffic_price" Prices Money 0.0, 1e9, None, Basis::None,
        "A gigabyte that goes out";
    PartitionPrice "partition_price" Prices Money 0.0, 1e9, None, Basis::None,
        "A Kafka partition";
}

impl Assumption {
    fn spec(self) -> &'static Spec {
        // Both lists are made of the same lines.
        &SPECS[self as usize]
    }

    /// The name, such as `hit_rate`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The one of this name; hyphens are as good as underscores.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim().trim_start_matches("--").replace('-', "_");
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Where it belongs.
    #[must_use]
    pub fn group(self) -> Group {
        self.spec().group
    }

    /// What it counts.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.spec().unit
    }

    /// What it is, in a sentence without a full stop.
    #[must_use]
    pub fn help(self) -> &'static str {
        self.spec().help
    }

    /// The value that holds if none is given; prices have none.
    #[must_use]
    pub fn default(self) -> Option<f64> {
        self.spec().default
    }

    /// Where the default comes from.
    #[must_use]
    pub fn basis(self) -> Basis {
        self.spec().basis
    }

    /// The least and the most that is taken.
    #[must_use]
    pub fn range(self) -> (f64, f64) {
        (self.spec().least, self.spec().most)
    }

    /// Takes a value.
    ///
    /// # Errors
    /// A value out of the range, or a part of what is whole.
    pub fn setting(self, value: f64) -> Result<Setting, SettingError> {
        let (least, most) = self.range();
        if self.unit() == Unit::Whole && value.fract() != 0.0 {
            return Err(NotOfUnit(self.unit()).into());
        }
        if !(least..=most).contains(&value) {
            let show = |value| self.unit().show_short(value);
            return Err(SettingError::OutOfRange {
                least: show(least),
                most: show(most),
                unit: self.unit(),
            });
        }
        Ok(Setting {
            assumption: self,
            value,
        })
    }

    /// Reads a value as people write it.
    ///
    /// # Errors
    /// What is no number of the unit, or out of the range.
    pub fn parse(self, text: &str) -> Result<Setting, SettingError> {
        self.setting(self.unit().parse(text)?)
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Assumption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// An assumption with a value that it can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    assumption: Assumption,
    value: f64,
}

impl Setting {
    /// Which.
    #[must_use]
    pub fn assumption(self) -> Assumption {
        self.assumption
    }

    /// The value, in the assumption's unit.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }
}

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No number of the unit.
    #[error(transparent)]
    NotOfUnit(#[from] NotOfUnit),
    /// Too small or too large to plan with.
    #[error("it has to be from {least} to {most}; write {}", unit.examples())]
    OutOfRange {
        /// The least, for people.
        least: String,
        /// The most.
        most: String,
        /// The unit.
        unit: Unit,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range_and_names_lead_back() {
        for &one in Assumption::ALL {
            assert_eq!(Assumption::named(one.name()), Some(one));
            assert_eq!(Assumption::named(&one.name().replace('_', "-")), Some(one));
            if let Some(default) = one.default() {
                let shown = one.unit().show_short(default);
                assert_eq!(one.parse(&shown).map(Setting::value), Ok(default), "{one}");
            }
            assert_eq!(one.default().is_none(), one.basis() == Basis::None, "{one}");
        }
        assert_eq!(Assumption::named("nothing"), None);
    }

    #[test]
    fn what_is_out_of_range_is_told_with_the_range() {
        let error = Assumption::HitRate.parse("90").unwrap_err().to_string();
        assert_eq!(
            error,
            "it has to be from 0 % to 100 %; write a share such as 90% or 0.9"
        );
        assert!(Assumption::CodeLength.setting(6.5).is_err());
        assert!(Assumption::Dau.parse("0").is_err());
        assert!(Assumption::Dau.setting(f64::NAN).is_err());
    }
}
