//! Totals in a Redis that all instances share: see [`RedisTotals`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tollgate_clock::Clock;
use tollgate_redis::{
    AskError, Breaker, BreakerOptions, BreakerStats, Call, Client, ClientOptions, RedisUrlError,
};

use super::entry::millis;
use super::{Report, SharedTotals, Total};
use crate::store::{RedisOptions, StoreError, name_in_redis};

const SCRIPT: &str = include_str!("spend.lua");

/// Counts what instances admit in a Redis, by its clock, behind a circuit breaker.
///
/// A report is one call of a script; those of a round share one connection and do not wait for each
/// other. A key is the prefix, `budget:`, the window in milliseconds, and the key of the limit with its
/// domain in braces, such as `tollgate:budget:60000:{shop}|user=u1|`. It ends a second after its
/// window. Which Redis can be asked is as for a [`RedisStore`](crate::store::RedisStore).
pub struct RedisTotals {
    client: Client,
    prefix: String,
    deadline: Duration,
    breaker: Breaker,
}

impl RedisTotals {
    /// Totals in the Redis at `url`, one of those that [`tollgate_redis::Client`] takes.
    ///
    /// Tries to connect, and logs if it cannot: a Redis that is away is no error, as it may come.
    ///
    /// # Errors
    /// [`RedisUrlError`], if the URL is none of these.
    pub async fn connect(
        url: &str,
        options: RedisOptions,
        breaker: BreakerOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RedisUrlError> {
        let client = ClientOptions {
            script: SCRIPT,
            connect_within: options.connect_within,
        };
        let client = Client::new(url, client)?;
        if let Err(error) = client.ready().await {
            tracing::warn!(%error, "budgets are not shared until their Redis can be reached");
        }
        Ok(Self {
            client,
            prefix: options.prefix,
            deadline: options.deadline,
            breaker: Breaker::new("the store of global budgets", breaker, clock),
        })
    }

    /// Where the breaker is, and what has become of reports.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        self.breaker.stats()
    }

    async fn one(&self, report: &Report) -> Result<Total, StoreError> {
        let window = millis(report.window);
        let prefix = format!("{}budget:{window}:", self.prefix);
        let key = name_in_redis(prefix.as_bytes(), &report.key);
        let part = self.client.part(&key);
        let call = Call {
            script: None,
            keys: &[key],
            numbers: &[window, report.units, report.number.unwrap_or(0)],
            words: &[],
        };
        let asked = self.client.ask::<Vec<i64>>(&call, self.deadline);
        let is_away = |error: &AskError| matches!(error, AskError::Unavailable(_));
        let answer = self.breaker.through(part, asked, is_away).await?;
        read(&answer)
    }
}

fn read(answer: &[i64]) -> Result<Total, StoreError> {
    let wrong = || StoreError::Failed(format!("{answer:?} is no total of a budget"));
    let numbers: Option<Vec<u64>> = answer.iter().map(|it| u64::try_from(*it).ok()).collect();
    let Some([number, units, left, counted]) = numbers.as_deref() else {
        return Err(wrong());
    };
    Ok(Total {
        number: *number,
        units: *units,
        left: Duration::from_millis(*left),
        counted: *counted == 1,
    })
}

#[async_trait]
impl SharedTotals for RedisTotals {
    async fn report(&self, reports: &[Report]) -> Vec<Result<Total, StoreError>> {
        join_all(reports.iter().map(|report| self.one(report))).await
    }
}

impl fmt::Debug for RedisTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTotals")
            .field("deadline", &self.deadline)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
