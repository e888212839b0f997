//! The tables.

use tollgate_postgres::Schema;

/// Of links, and of what goes with them.
pub(super) const SCHEMA: Schema = Schema {
    component: "links",
    steps: &[include_str!("steps/1.sql")],
    lock: 0x7467_6c69_6e6b_7300,
};
