//! `tollgate migrate`: creates or upgrades the schema of the stores.

use crate::args::StoreArgs;
use crate::{config, open, show};

/// Opens each store once, which brings its schema up to date.
pub(crate) fn run(args: &StoreArgs) -> anyhow::Result<()> {
    let config = config::of_store(args)?;
    let links = config.links_file(&args.data_dir);
    open::links(&links)?;
    show::line(format_args!("{} is up to date", links.display()))?;
    let keys = config.keys_file(&args.data_dir);
    open::keys(&keys)?;
    show::line(format_args!("{} is up to date", keys.display()))?;
    let clicks = config.clicks_file(&args.data_dir);
    open::clicks(&config, &clicks, || ())?;
    show::line(format_args!("{} is up to date", clicks.display()))?;
    let webhooks = config.webhooks_file(&args.data_dir);
    open::webhooks(&webhooks)?;
    show::line(format_args!("{} is up to date", webhooks.display()))
}
