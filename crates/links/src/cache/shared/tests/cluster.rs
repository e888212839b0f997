//! A cluster whose slots move and whose masters die while links are followed and edited.

use super::failures::Load;
use super::private_cluster::PrivateCluster;
use super::*;

/// After so many milliseconds a member is away.
const TIMEOUT: u32 = 1_500;
const CODES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

async fn slot(cluster: &PrivateCluster, code: &str) -> u16 {
    let name = entry(code);
    send(&cluster.servers[0], &["CLUSTER", "KEYSLOT", &name]).await
}

fn nth(edit: u64) -> String {
    format!("https://example.com/{edit}")
}

/// Edits all links by one server, and waits until all others know.
async fn edit(fleet: &Fleet, edit: u64) {
    for code in CODES {
        let update = fleet.update(code, edit, &nth(edit));
        fleet.servers[0].writes.update(update).await.unwrap();
    }
    for code in CODES {
        eventually("the edit is known", async || {
            let mut known = true;
            for server in &fleet.servers[1..] {
                known &= server.target(code).await == Some(nth(edit));
            }
            known
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_and_masters_that_die_cost_no_answer_and_no_edit() {
    let mut cluster = PrivateCluster::start_with(TIMEOUT).await;
    let hasty = |options: &mut SharedCacheOptions| options.deadline = Duration::from_secs(1);
    let mut fleet = Fleet::with(3, &cluster.url(), hasty).await;
    fleet.listen().await;
    for code in CODES {
        fleet.insert(code).await;
    }
    let load = Load::on(&fleet, &CODES);
    load.answers(Tier::Shared, 500).await;
    edit(&fleet, 1).await;

    // One slot moves.
    let moving = slot(&cluster, "a").await;
    let masters = cluster.masters().await;
    let home = cluster.holder(moving).await;
    let to = *masters.iter().find(|master| **master != home).unwrap();
    let from = cluster.begin_migration(moving, to).await;
    load.answers(Tier::Shared, 500).await;
    edit(&fleet, 2).await;
    cluster
        .end_migration(moving, from, to, Duration::from_millis(50))
        .await;
    load.answers(Tier::Shared, 500).await;
    edit(&fleet, 3).await;
    assert_eq!(cluster.holder(moving).await, to);

    // The master that took it dies.
    cluster.servers[to].kill();
    load.answers(Tier::Store, 20).await;
    edit(&fleet, 4).await;
    eventually("its replica takes over", async || {
        fleet.servers[1].tier("a").await == (true, Tier::Shared)
    })
    .await;
    load.answers(Tier::Shared, 500).await;
    edit(&fleet, 5).await;
    let errors = fleet
        .servers
        .iter()
        .map(|server| server.shared.stats().breaker.failed);
    assert_eq!(errors.sum::<u64>(), 0);
    let answers = load.end().await;
    println!(
        "{answers} answers, {} reads of the store",
        fleet.store.reads()
    );
}
