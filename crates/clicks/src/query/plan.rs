//! Which roll-ups answer a query.

use std::ops::Range;

use tollgate_clock::UnixMillis;

use crate::rollup::{DAY_MS, HOUR_MS};

/// Roll-ups that follow each other, counted since 1970 in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Run {
    /// These hours.
    Hours(Range<i64>),
    /// These days.
    Days(Range<i64>),
}

const HOURS: i64 = DAY_MS / HOUR_MS;

/// The fewest roll-ups that tell the stretches between `edges` apart: whole days where no edge is
/// inside, hours elsewhere. Edges are sorted; the last one is the end.
pub(crate) fn runs(edges: &[UnixMillis]) -> Vec<Run> {
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
        return Vec::new();
    };
    let begin = first.as_millis().div_euclid(HOUR_MS);
    let end = (last.as_millis() + HOUR_MS - 1).div_euclid(HOUR_MS);
    let mut inner = edges.iter().map(|edge| edge.as_millis()).peekable();
    let mut runs = Vec::new();
    let mut hour = begin;
    while hour < end {
        let day = hour.div_euclid(HOURS);
        let next = (day + 1) * HOURS;
        while inner.next_if(|edge| *edge <= day * DAY_MS).is_some() {}
        let split = inner.peek().is_some_and(|edge| *edge < (day + 1) * DAY_MS);
        if hour == day * HOURS && next <= end && !split {
            push(&mut runs, Run::Days(day..day + 1));
        } else {
            push(&mut runs, Run::Hours(hour..next.min(end)));
        }
        hour = next;
    }
    runs
}

/// Adds a run, as part of the last one if it follows that.
fn push(runs: &mut Vec<Run>, run: Run) {
    match (runs.last_mut(), &run) {
        (Some(Run::Hours(last)), Run::Hours(next)) | (Some(Run::Days(last)), Run::Days(next))
            if last.end == next.start =>
        {
            last.end = next.end;
        }
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hours: i64, minutes: i64) -> UnixMillis {
        UnixMillis::from_millis(hours * HOUR_MS + minutes * 60_000)
    }

    #[test]
    fn days_are_used_where_they_can_be() {
        let whole = [at(24, 0), at(48, 0), at(96, 0)];
        assert_eq!(runs(&whole), [Run::Days(1..4)]);
        let begun = [at(20, 0), at(75, 0)];
        assert_eq!(
            runs(&begun),
            [Run::Hours(20..24), Run::Days(1..3), Run::Hours(72..75)]
        );
        let local_days = [at(22, 0), at(46, 0), at(70, 0)];
        assert_eq!(runs(&local_days), [Run::Hours(22..70)]);
        let odd = [at(18, 30), at(42, 30)];
        assert_eq!(runs(&odd), [Run::Hours(18..43)]);
    }

    proptest! {
        #[test]
        fn every_hour_is_there_once_and_no_day_is_split(
            edges in prop::collection::btree_set(0_i64..24 * 4 * 12, 2..8)
        ) {
            let edges: Vec<_> = edges.into_iter().map(|quarter| at(0, quarter * 15)).collect();
            let mut hours = Vec::new();
            for run in runs(&edges) {
                match run {
                    Run::Hours(range) => hours.extend(range),
                    Run::Days(range) => {
                        for day in range.clone() {
                            let split = edges.iter().any(|edge| {
                                (day * DAY_MS + 1..(day + 1) * DAY_MS).contains(&edge.as_millis())
                            });
                            prop_assert!(!split);
                        }
                        hours.extend(range.start * 24..range.end * 24);
                    }
                }
            }
            let begin = edges[0].as_millis() / HOUR_MS;
            let end = (edges.last().unwrap().as_millis() + HOUR_MS - 1) / HOUR_MS;
            prop_assert_eq!(hours, (begin..end).collect::<Vec<_>>());
        }
    }
}
