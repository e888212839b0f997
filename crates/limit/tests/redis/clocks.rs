//! Instances whose own clocks differ.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::AlgorithmKind;

use crate::bench::patient;
use crate::instance::Instance;
use crate::private_redis::PrivateRedis;

const LIMIT: usize = 40;

fn policies() -> String {
    let mut policies = "domain: shop\ndescriptors:\n".to_owned();
    for kind in AlgorithmKind::ALL {
        let name = kind.name();
        writeln!(
            policies,
            "  - {{key: {name}, rate_limit: {{unit: year, requests_per_unit: {LIMIT}, \
             algorithm: {name}}}}}"
        )
        .unwrap();
    }
    policies
}

/// By one clock a year of the limits has ended, by the other it has not: who counted by them would
/// admit the limit twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_admit_the_limit_however_far_their_clocks_are_apart() {
    let redis = PrivateRedis::start();
    let turn = UnixMillis::from_millis(57 * 365 * 86_400_000);
    let before = turn.saturating_sub(Duration::from_millis(1));
    for apart in [Duration::from_millis(300), Duration::from_secs(10)] {
        let mut instances = Vec::new();
        for now in [before, before.saturating_add(apart)] {
            let clock = Arc::new(ManualClock::at(now));
            let instance = Instance::new(&redis, patient(), clock, &policies()).await;
            instances.push(Arc::new(instance));
        }
        for kind in AlgorithmKind::ALL {
            // In turns, one after the other.
            let mut passed = [0; 2];
            for at in 0..3 * LIMIT {
                let answer = instances[at % 2]
                    .ask(kind.name(), &format!("{apart:?}"))
                    .await;
                assert_eq!(answer.statuses[0].failure, None);
                passed[at % 2] += usize::from(answer.allowed);
            }
            assert_eq!(passed, [LIMIT / 2; 2], "{kind:?}, {apart:?}");
            // All at once.
            let tasks: Vec<_> = (0..3 * LIMIT)
                .map(|at| {
                    let instance = Arc::clone(&instances[at % 2]);
                    let value = format!("{apart:?} at once");
                    tokio::spawn(async move { instance.ask(kind.name(), &value).await.allowed })
                })
                .collect();
            let mut passed = 0;
            for task in tasks {
                passed += usize::from(task.await.unwrap());
            }
            assert_eq!(passed, LIMIT, "{kind:?}, {apart:?}");
        }
    }
}
