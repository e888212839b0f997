//! Writing down who changed what. Each change goes through here, and is answered only once it stands in the audit log.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::USER_AGENT;
use serde_json::{Map, Value, json};
use tollgate_access::ApiKey;
use tollgate_audit::{Action, Actor, Entry, Origin, Outcome, Via};
use tollgate_links::store::{IdempotencyToken, StoreError, changes};
use tollgate_links::{CreatedLink, Link, LinkError, LinkKey, LinkPatch, NewLink};
use tracing::Instrument as _;

use crate::admin::AdminState;
use crate::api::caller::Caller;
use crate::problem::Problem;

tokio::task_local! {
    /// From where the request came that this task answers.
    static ORIGIN: Arc<Origin>;
}

/// Does the work of a request, which knows from where it came: also where the dashboard asks the API.
pub(crate) async fn come_from<T>(origin: Origin, work: impl Future<Output = T>) -> T {
    ORIGIN.scope(Arc::new(origin), work).await
}

/// The same for work that goes on in a task of its own.
pub(crate) fn go_on<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    ORIGIN.scope(origin(), work)
}

/// From where the request came that this task answers.
pub(crate) fn origin() -> Arc<Origin> {
    let known = ORIGIN.try_with(Arc::clone);
    known.unwrap_or_else(|_| Arc::new(Origin::local(Via::Server)))
}

/// From where a request came.
pub(crate) fn origin_of(
    path: &str,
    headers: &HeaderMap,
    address: Option<IpAddr>,
    request_id: &str,
) -> Origin {
    let agent = headers.get(USER_AGENT);
    Origin {
        via: match path {
            path if path.starts_with("/api/") => Via::Api,
            path if path.starts_with("/rest/") => Via::Shlink,
            path if path.starts_with("/v4/") => Via::Bitly,
            path if path.starts_with("/yourls-api.php") => Via::Yourls,
            _ => Via::Dashboard,
        },
        address,
        user_agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
        request_id: Some(request_id.to_owned()),
    }
}

/// The holder of a key, as the audit log names them.
pub(crate) fn actor(key: &ApiKey) -> Actor {
    let (id, name) = (key.id.to_string(), key.name.clone());
    match &key.subject {
        Some(subject) => Actor::Person {
            id,
            name,
            subject: subject.to_string(),
        },
        None => Actor::Key { id, name },
    }
}

/// What was changed: of a thing, the fields with their values before and after.
pub(crate) struct Change {
    pub(crate) resource: String,
    pub(crate) changes: Value,
}

impl Change {
    pub(crate) fn new(resource: impl ToString, changes: Value) -> Self {
        Self {
            resource: resource.to_string(),
            changes,
        }
    }

    /// The fields that differ.
    pub(crate) fn between(resource: impl ToString, before: &Value, after: &Value) -> Self {
        let empty = Map::new();
        let fields = |value: &'_ Value| -> BTreeMap<String, Value> {
            let fields = value.as_object().unwrap_or(&empty).clone();
            fields.into_iter().collect()
        };
        let (before, mut after) = (fields(before), fields(after));
        let mut differ = Map::new();
        for (name, was) in before {
            let is = after.remove(&name).unwrap_or_default();
            if was != is {
                differ.insert(name, json!([was, is]));
            }
        }
        let new = after.into_iter().filter(|(_, is)| !is.is_null());
        differ.extend(new.map(|(name, is)| (name, json!([null, is]))));
        Self::new(resource, Value::Object(differ))
    }
}

impl AdminState {
    /// What somebody did, from where this task's request came.
    pub(crate) fn entry(&self, actor: Actor, action: Action, change: Change) -> Entry {
        Entry {
            at: self.service.parts().clock.now(),
            actor,
            action,
            resource: change.resource,
            changes: change.changes,
            from: Origin::clone(&origin()),
            result: Outcome::Done,
            reason: None,
        }
    }

    /// Writes down what changes nothing by itself.
    pub(crate) async fn write_down(&self, entry: Entry) -> Result<(), Problem> {
        let written = self.audit.append(vec![entry]).await;
        Ok(written.map_err(StoreError::from)?)
    }
}

/// Does what is to be written down, and writes down what was changed; where nothing was, nothing. It goes on to its end
/// even if whoever asked for it leaves: no change is made that is not written down.
///
/// # Errors
/// Those of the work. That of the store if the audit log took no entries before, and then nothing is done; or if it does
/// not take this one, and then the change was made.
pub(crate) async fn recorded<T, E>(
    state: &AdminState,
    actor: Actor,
    action: Action,
    work: impl Future<Output = Result<(T, Option<Change>), E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let state = state.clone();
    let whole = async move {
        state.audit.ready().await.map_err(StoreError::from)?;
        let (done, change) = work.await?;
        if let Some(change) = change {
            let entry = state.entry(actor, action, change);
            let written = state.audit.append(vec![entry]).await;
            written.map_err(StoreError::from)?;
        }
        Ok(done)
    };
    match tokio::spawn(go_on(whole).in_current_span()).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "a change broke off");
            Err(StoreError::Unavailable("the change broke off".to_owned()).into())
        }
    }
}

/// The links of a caller, with the audit log.
impl Caller {
    /// Makes a link.
    pub(crate) async fn create(
        &self,
        state: &AdminState,
        new: NewLink,
    ) -> Result<CreatedLink, LinkError> {
        let (by, within) = (self.id().to_owned(), state.clone());
        recorded(state, self.actor(), Action::LinkCreate, async move {
            let created = within.service.create(new, &by).await?;
            let change = made(&within, &created);
            Ok((created, change))
        })
        .await
    }

    /// Makes many, which are written down together. It has to go on to its end.
    pub(crate) async fn create_many(
        &self,
        state: &AdminState,
        new: Vec<NewLink>,
    ) -> Vec<Result<CreatedLink, LinkError>> {
        let count = new.len();
        let failed = |error: tollgate_audit::Error| {
            let error = StoreError::from(error);
            let each = std::iter::repeat_with(|| Err(LinkError::Store(error.clone())));
            each.take(count).collect()
        };
        if let Err(error) = state.audit.ready().await {
            return failed(error);
        }
        let created = state.service.create_many(new, self.id()).await;
        if !state.audit.wants(Action::LinkCreate) {
            return created;
        }
        let entries = created.iter().flatten().filter_map(|one| {
            let change = made(state, one)?;
            Some(state.entry(self.actor(), Action::LinkCreate, change))
        });
        match state.audit.append(entries.collect()).await {
            Ok(()) => created,
            Err(error) => failed(error),
        }
    }

    /// Edits a link.
    pub(crate) async fn edit(
        &self,
        state: &AdminState,
        key: &LinkKey,
        patch: LinkPatch,
        expected_version: Option<u64>,
        idempotency: Option<IdempotencyToken>,
    ) -> Result<Link, LinkError> {
        let (by, within, key) = (self.id().to_owned(), state.clone(), key.clone());
        recorded(state, self.actor(), Action::LinkUpdate, async move {
            let edited = within
                .service
                .update(&key, patch, expected_version, &by, idempotency)
                .await?;
            let differ = edited.before.as_ref().map(|before| {
                let differ = changes(Some(before), Some(&edited.link.spec));
                Change::new(named(&within, &key), differ)
            });
            Ok((edited.link, differ))
        })
        .await
    }

    /// Deletes a link.
    pub(crate) async fn delete(
        &self,
        state: &AdminState,
        key: &LinkKey,
        expected_version: Option<u64>,
        idempotency: Option<IdempotencyToken>,
    ) -> Result<(), LinkError> {
        let (by, within, key) = (self.id().to_owned(), state.clone(), key.clone());
        recorded(state, self.actor(), Action::LinkDelete, async move {
            let gone = within
                .service
                .delete(&key, expected_version, &by, idempotency)
                .await?;
            let change =
                gone.map(|link| Change::new(named(&within, &key), changes(Some(&link.spec), None)));
            Ok(((), change))
        })
        .await
    }

    /// Does something else that is to be written down: see [`recorded`].
    pub(crate) async fn recorded<T, E>(
        &self,
        state: &AdminState,
        action: Action,
        work: impl Future<Output = Result<(T, Option<Change>), E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        recorded(state, self.actor(), action, work).await
    }
}

/// A link that was not there before.
fn made(state: &AdminState, created: &CreatedLink) -> Option<Change> {
    let is_new = !created.reused && !created.replayed;
    let link = &created.link;
    is_new.then(|| Change::new(named(state, &link.key), changes(None, Some(&link.spec))))
}

/// The host and the code of a link.
pub(crate) fn named(state: &AdminState, key: &LinkKey) -> String {
    let host = state.service.parts().domains.host_of(&key.domain);
    format!("{host}/{}", key.code)
}
