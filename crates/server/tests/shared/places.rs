//! How many places are left in a queue.

use std::time::{Duration, Instant};

use tollgate_limit::policy::Descriptor;
use tollgate_limit::service::{CheckRequest, LimitService};

/// The longest wait for what usually takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the queue for this descriptor has so many places.
pub async fn places(service: &LimitService, domain: &str, by: (&str, &str), wanted: u64) {
    let request = CheckRequest {
        domain: domain.to_owned(),
        descriptors: vec![Descriptor::of([by])],
        hits: 0,
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = service.check(&request).await.unwrap();
        let places = answer.statuses[0].remaining.unwrap();
        if places == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{places} places, not {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
