//! The tables.

use tollgate_postgres::Schema;

/// Of clicks.
pub(super) const SCHEMA: Schema = Schema {
    component: "clicks",
    steps: &[include_str!("steps/1.sql")],
    lock: 0x7467_636c_6963_6b00,
};

/// Held while partitions are made.
pub(super) const PARTITIONS_LOCK: i64 = 0x7467_636c_6963_6b01;

/// The first of two numbers of a lock; the second one is the lane.
pub(super) const LANE_LOCKS: i32 = 0x7467_636c;

/// Roll-ups of an hour or a day are in as many rows as transactions wanted them at the same time, at most.
pub(super) const LANES: i16 = 8;
