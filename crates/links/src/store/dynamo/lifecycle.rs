//! Links in the order in which they are made, and in which they expire.

use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::item::{Fields as _, digits, pair, part, read_digits};
use super::schema::{BY_NUMBER, BY_TIME};
use super::table::name;
use super::walk::{Bounds, Walk};
use crate::Link;
use crate::store::{Expiry, StoreError};

/// Up to where the numbers of links are settled: links of lower ones will not come to be any more. Numbers are given
/// before links are written, and an index may lag behind, so this is believed some time after a number was given.
#[derive(Default)]
pub(super) struct Settled(Mutex<State>);

#[derive(Clone, Copy, Default)]
struct State {
    upto: i64,
    /// A number, and when it is settled, by the clock that only runs forward.
    next: Option<(i64, Duration)>,
}

impl Settled {
    fn upto(&self, newest: i64, now: Duration, after: Duration) -> i64 {
        let mut state = self.0.lock();
        let next = *state.next.get_or_insert((newest, now + after));
        if next.1 <= now {
            state.upto = next.0;
            state.next = (newest > next.0).then_some((newest, now + after));
        }
        state.upto
    }
}

impl DynamoLinkStore {
    /// Links made after a position.
    pub(super) async fn made_after(
        &self,
        after: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Link>, i64), StoreError> {
        let numbers = self.table.get(super::META, super::NUMBERS).await?;
        let newest = numbers.map(|numbers| numbers.number(name::LAST));
        let newest: i64 = newest.transpose()?.unwrap_or(0);
        // Ahead of the table: it was replaced by an older one.
        let Some(after) = after.filter(|after| *after <= newest) else {
            *self.settled.0.lock() = State::default();
            return Ok((Vec::new(), newest));
        };
        let now = self.clock.monotonic();
        let upto = self.settled.upto(newest, now, self.settled_after);
        if upto <= after {
            return Ok((Vec::new(), after));
        }
        let bounds = Bounds {
            after: Some(digits(after)),
            below: Some(digits(upto.saturating_add(1))),
        };
        let mut walk = Walk::new(self, BY_NUMBER, part::LINKS, true, bounds, limit);
        let (mut found, mut end) = (Vec::new(), upto);
        while let Some(item) = walk.next().await? {
            found.push(item.text(name::PK)?.to_owned());
            if found.len() >= limit {
                end = read_digits(item.text(name::ID)?)?;
                break;
            }
        }
        let kept = self.kept(found).await?.into_iter();
        // A name may have been given to another link meanwhile.
        let made = kept.filter(|kept| kept.gone_by.is_none() && kept.id > after && kept.id <= end);
        Ok((made.map(|kept| kept.link).collect(), end))
    }

    /// Links that expired after a position.
    pub(super) async fn expired_after(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<(Vec<Link>, Expiry), StoreError> {
        let bounds = Bounds {
            after: Some(pair(after.at.as_millis(), after.link)),
            below: Some(digits(until.as_millis().saturating_add(1))),
        };
        let mut walk = Walk::new(self, BY_TIME, part::EXPIRING, true, bounds, limit);
        // Never back, should the clock be.
        let mut end = after.max(Expiry::behind(until));
        let mut found = Vec::new();
        while let Some(item) = walk.next().await? {
            found.push(item.text(name::PK)?.to_owned());
            if found.len() >= limit {
                let at = item.text(name::BY_TIME)?;
                let (at, link) = at.split_at_checked(16).unwrap_or((at, ""));
                end = Expiry {
                    at: UnixMillis::from_millis(read_digits(at)?),
                    link: read_digits(link)?,
                };
                break;
            }
        }
        let kept = self.kept(found).await?.into_iter().filter(|kept| {
            let expired = kept.link.spec.expires_at.is_some_and(|at| at <= until);
            expired && kept.gone_by.is_none()
        });
        Ok((kept.map(|kept| kept.link).collect(), end))
    }
}
