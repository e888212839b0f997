//! What a plan answers: the results by name.

use serde::{Serialize, Serializer};

use crate::unit::Unit;

/// Parts of a plan, in the order in which they follow from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// How much is asked.
    Throughput,
    /// How much is kept.
    Storage,
    /// How much goes over the wire.
    Bandwidth,
    /// How much has to be at hand.
    Memory,
    /// What it takes.
    Machines,
    /// How long codes last.
    Codes,
    /// What it costs, by the prices that are given.
    Cost,
}

impl Section {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::Throughput,
        Self::Storage,
        Self::Bandwidth,
        Self::Memory,
        Self::Machines,
        Self::Codes,
        Self::Cost,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Storage => "storage",
            Self::Bandwidth => "bandwidth",
            Self::Memory => "memory",
            Self::Machines => "machines",
            Self::Codes => "codes",
            Self::Cost => "cost",
        }
    }

    /// As a heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Throughput => "Throughput",
            Self::Storage => "Storage",
            Self::Bandwidth => "Bandwidth",
            Self::Memory => "Memory",
            Self::Machines => "Machines",
            Self::Codes => "Codes",
            Self::Cost => "Cost a month",
        }
    }
}

macro_rules! outputs {
    ($($variant:ident $section:ident $key:literal $name:literal $unit:ident $label:literal;)*) => {
        /// A result.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Output {
            $(#[doc = $label] $variant,)*
        }

        impl Output {
            /// Every one, in the order in which they follow from each other.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Where it belongs.
            #[must_use]
            pub fn section(self) -> Section {
                match self { $(Self::$variant => Section::$section,)* }
            }

            /// The name within its section, as in JSON.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// The name in formulas, which no other result has.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it counts.
            #[must_use]
            pub fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)* }
            }

            /// What it is, for people.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

outputs! {
    WritesPerSecond Throughput "writes_per_second" "writes" PerSecond "writes";
    ReadsPerSecond Throughput "reads_per_second" "reads" PerSecond "reads";
    PeakWritesPerSecond Throughput "peak_writes_per_second" "peak_writes" PerSecond "peak writes";
    PeakReadsPerSecond Throughput "peak_reads_per_second" "peak_reads" PerSecond "peak reads";
    StoreReadsPerSecond Throughput "peak_store_reads_per_second" "store_reads" PerSecond
        "peak reads of the store";
    RecordsPerDay Storage "records_per_day" "records_per_day" Count "links a day";
    BytesPerDay Storage "bytes_per_day" "bytes_per_day" Bytes "links a day, size";
    BytesPerYear Storage "bytes_per_year" "bytes_per_year" Bytes "links a year, size";
    Records Storage "records" "records" Count "links";
    StorageBytes Storage "bytes" "link_bytes" Bytes "links, size";
    BytesWithIndexes Storage "bytes_with_indexes" "bytes_with_indexes" Bytes "with indexes";
    BytesReplicated Storage "bytes_replicated" "bytes_replicated" Bytes "with all copies";
    ClickRecords Storage "click_records" "click_records" Count "single clicks";
    ClickBytes Storage "click_bytes" "click_bytes" Bytes "single clicks, size";
    InBits Bandwidth "in_bits_per_second" "in_bits" BitsPerSecond "in";
    OutBits Bandwidth "out_bits_per_second" "out_bits" BitsPerSecond "out";
    PeakInBits Bandwidth "peak_in_bits_per_second" "peak_in_bits" BitsPerSecond "in at peak";
    PeakOutBits Bandwidth "peak_out_bits_per_second" "peak_out_bits" BitsPerSecond "out at peak";
    WindowLinks Memory "window_links" "window_links" Count "links of the hot window";
    HotLinks Memory "hot_links" "hot_links" Count "hot links";
    MemoryBytes Memory "bytes" "hot_bytes" Bytes "hot links, size";
    Instances Machines "instances" "instances" Whole "instances of Tollgate";
    RedisNodesLeast Machines "redis_nodes_for_look_ups_at_best" "redis_nodes_for_look_ups_at_best"
        Whole "Redis nodes for look-ups, at best";
    RedisNodesMost Machines "redis_nodes_for_look_ups" "redis_nodes_for_look_ups" Whole
        "Redis nodes for look-ups, at most";
    RedisNodesForMemory Machines "redis_nodes_for_memory" "redis_nodes_for_memory" Whole
        "Redis nodes for memory";
    RedisNodes Machines "redis_nodes" "redis_nodes" Whole "Redis nodes for both";
    RedisServers Machines "redis_servers" "redis_servers" Whole "Redis servers, replicas included";
    Replicas Machines "replicas" "replicas" Whole "replicas for the reads of the store";
    HitRateForFewReplicas Machines "hit_rate_for_6_replicas" "hit_rate_for_6_replicas" Share
        "hit rate that needs 6 replicas";
    Shards Machines "shards" "shards" Whole "shards of the store";
    StoreServers Machines "store_servers" "store_servers" Whole "servers of the store";
    KafkaPartitions Machines "kafka_partitions" "kafka_partitions" Whole "Kafka partitions";
    Keyspace Codes "keyspace" "keyspace" Count "codes there are";
    YearsUntilUsedUp Codes "years_until_used_up" "years_until_used_up" Years "used up after";
    UsedShare Codes "used_share" "used_share" Share "in use at the end";
    EvenOddsCodes Codes "even_odds_codes" "even_odds_codes" Count
        "drawn at random: even odds of a clash at";
    ExpectedFirstClash Codes "expected_first_clash_codes" "expected_first_clash_codes" Count
        "drawn at random: first clash expected at";
    ClashOdds Codes "clash_odds" "clash_odds" Share "drawn at random: odds of any clash";
    InstancesCost Cost "instances" "instances_cost" Money "instances";
    RedisCost Cost "redis" "redis_cost" Money "Redis servers";
    StoreCost Cost "store" "store_cost" Money "servers of the store";
    StorageCost Cost "storage" "storage_cost" Money "storage";
    TrafficCost Cost "traffic" "traffic_cost" Money "traffic out";
    PartitionsCost Cost "partitions" "partitions_cost" Money "Kafka partitions";
    TotalCost Cost "total" "total_cost" Money "in all";
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.section().name(), self.key()))
    }
}
