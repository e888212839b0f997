//! How often links were clicked.

use tollgate_clicks::query::{Scope, Totals};
use tollgate_links::Link;

use crate::admin::AdminState;
use crate::api::stats::name;
use crate::problem::Problem;

/// All clicks of each scope; none where clicks are not counted.
pub(super) async fn totals(state: &AdminState, scopes: Vec<Scope>) -> Result<Vec<Totals>, Problem> {
    match &state.clicks {
        Some(clicks) => Ok(clicks.store.totals(scopes).await?),
        None => Ok(vec![Totals::default(); scopes.len()]),
    }
}

/// All clicks of one scope.
pub(super) async fn total(state: &AdminState, scope: Scope) -> Result<Totals, Problem> {
    let totals = totals(state, vec![scope]).await?;
    Ok(totals.first().copied().unwrap_or_default())
}

/// All clicks of each link.
pub(super) async fn of_links(state: &AdminState, links: &[Link]) -> Result<Vec<Totals>, Problem> {
    let scopes = links.iter().map(|link| Scope::Link(name(&link.key)));
    totals(state, scopes.collect()).await
}
