//! `tollgate migrate`: creates or upgrades the schema of the stores.

use serde_json::json;
use tollgate_audit::Action;

use crate::args::{MigrateArgs, MigrateCommand, StoreArgs};
#[cfg(feature = "postgres")]
use crate::rebalance;
use crate::{changes, click_store, config, link_store, open, show};

/// Does what is asked for.
pub(crate) fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    match &args.command {
        None => schemas(&args.store),
        #[cfg(feature = "postgres")]
        Some(MigrateCommand::Rebalance(args)) => rebalance::run(args),
        #[cfg(not(feature = "postgres"))]
        Some(MigrateCommand::Rebalance(_)) => {
            anyhow::bail!("this build has no client of PostgreSQL: build with --features postgres")
        }
    }
}

/// Opens each store once, which brings its schema up to date.
fn schemas(args: &StoreArgs) -> anyhow::Result<()> {
    let config = config::of_store(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let links = runtime.block_on(link_store::open(&config, &args.data_dir))?;
    show::line(format_args!("{} is up to date", links.place))?;
    let keys = config.keys_file(&args.data_dir);
    open::keys(&keys)?;
    show::line(format_args!("{} is up to date", keys.display()))?;
    let clicks = runtime.block_on(click_store::open(&config, &args.data_dir))?;
    show::line(format_args!("{} is up to date", clicks.place))?;
    let webhooks = config.webhooks_file(&args.data_dir);
    open::webhooks(&webhooks)?;
    show::line(format_args!("{} is up to date", webhooks.display()))?;
    let audit = changes::log(&config, &args.data_dir)?;
    let version = json!({"version": [null, env!("CARGO_PKG_VERSION")]});
    let written = changes::by_user(&audit, Action::DataMigrate, links.place.clone(), version);
    runtime.block_on(written)?;
    let audit = config.audit_file(&args.data_dir);
    show::line(format_args!("{} is up to date", audit.display()))
}
