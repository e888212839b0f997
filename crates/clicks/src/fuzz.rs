//! What has to hold for any bytes that a spool, or the queue that servers share, may hold.

pub use crate::spool::fuzz::{spool_damage, spool_frames};
