//! A store that is as simple as can be, and does what it is told: wait, or fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use tollgate_clock::{Clock, ManualClock};
use tollgate_limit::store::{Charge, LimitKey, LimitStore, Refund, StoreError};
use tollgate_limit::{LimiterState, Moment, Shaped};

pub struct NaiveStore {
    clock: Arc<ManualClock>,
    states: Mutex<HashMap<LimitKey, LimiterState>>,
    failure: Mutex<Option<StoreError>>,
    held: watch::Sender<bool>,
}

impl NaiveStore {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            states: Mutex::default(),
            failure: Mutex::default(),
            held: watch::Sender::new(false),
        }
    }

    /// From now on every decision fails so.
    pub fn fail(&self, error: StoreError) {
        *self.failure.lock().unwrap() = Some(error);
    }

    /// From now on decisions wait.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// How many decisions wait.
    pub fn waiting(&self) -> usize {
        self.held.receiver_count()
    }

    pub fn keys(&self) -> Vec<Vec<u8>> {
        let states = self.states.lock().unwrap();
        states.keys().map(|key| key.as_bytes().to_vec()).collect()
    }
}

#[async_trait]
impl LimitStore for NaiveStore {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        if *self.held.borrow() {
            let mut held = self.held.subscribe();
            held.wait_for(|held| !held).await.unwrap();
        }
        if let Some(error) = self.failure.lock().unwrap().clone() {
            return Err(error);
        }
        // This protocol charges one key at a time.
        let [charge] = charges else {
            panic!("{} charges", charges.len());
        };
        let now = Moment::after_origin(self.clock.monotonic());
        let mut states = self.states.lock().unwrap();
        let state = states.entry(charge.key.clone()).or_default();
        Ok(vec![charge.limiter.shape(state, now, charge.cost)])
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        let now = Moment::after_origin(self.clock.monotonic());
        let mut states = self.states.lock().unwrap();
        for refund in refunds {
            let state = states.entry(refund.key().clone()).or_default();
            refund.apply(state, now);
        }
        Ok(())
    }
}
