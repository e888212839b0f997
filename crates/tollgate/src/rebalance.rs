//! `tollgate migrate rebalance`: moves links to where the list of shards wants them.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tollgate_audit::Action;
use tollgate_config::Engine;
use tollgate_links::store::{RebalanceOptions, Rebalancer, ShardProgress};

use crate::args::RebalanceArgs;
use crate::{changes, config, postgres, show};

/// Between two lines about the progress where nobody watches a terminal.
const LINES: Duration = Duration::from_secs(10);

/// Moves them, and tells how many each shard has then.
pub(crate) fn run(args: &RebalanceArgs) -> anyhow::Result<()> {
    let config = config::of_store(&args.store)?;
    let Engine::Shards(urls) = &config.links.store else {
        bail!(
            "links.store: links are in one place: give an array with the URL of each shard, the present one among them"
        );
    };
    let addresses = postgres::shard_addresses(urls)?;
    let options = postgres::options(&config.postgres);
    let how = RebalanceOptions {
        batch: args.batch as usize,
        pause: args.pause,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        let rebalancer = Rebalancer::open(addresses, &options).await?;
        let shown = Shown::new();
        let done = rebalancer.run(&how, |progress| shown.tell(progress)).await;
        shown.bar.finish_and_clear();
        done
    });
    let done = done.context("what is moved stays moved: run it again to go on")?;
    for shard in &done.shards {
        show::line(format_args!(
            "{}  weight {}  {} links  {}",
            shard.name, shard.weight, shard.links, shard.place
        ))?;
    }
    show::line(format_args!(
        "{} links moved; the map of the shards is version {}",
        done.moved, done.version
    ))?;
    let audit = changes::log(&config, &args.store.data_dir)?;
    let places: Vec<&str> = done
        .shards
        .iter()
        .map(|shard| shard.place.as_str())
        .collect();
    let what = json!({"moved": [null, done.moved], "map": [null, done.version]});
    runtime.block_on(changes::by_user(
        &audit,
        Action::DataMigrate,
        places.join(" "),
        what,
    ))
}

/// How far it is: a bar on a terminal, or else lines from time to time.
struct Shown {
    bar: ProgressBar,
    told: Cell<Instant>,
}

impl Shown {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(0);
            // The template is a constant; the default style is the fallback, not a failure.
            ProgressStyle::with_template(
                "{bar:30} {pos} of about {len} links, {msg} moved, {eta} left",
            )
            .map_or(bar.clone(), |style| bar.with_style(style))
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            told: Cell::new(Instant::now()),
        }
    }

    fn tell(&self, progress: ShardProgress) {
        let ShardProgress { seen, of, moved } = progress;
        if !self.bar.is_hidden() {
            self.bar.set_length(of);
            self.bar.set_position(seen);
            self.bar.set_message(moved.to_string());
        } else if self.told.get().elapsed() >= LINES {
            self.told.set(Instant::now());
            eprintln!("{seen} of about {of} links, {moved} moved");
        }
    }
}
