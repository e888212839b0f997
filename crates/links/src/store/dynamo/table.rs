//! A table, by what is asked of it here: reads that see all writes before them, and writes of one item each,
//! which may have a condition. Nothing else is used, so that it works wherever the protocol is spoken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnValue, Select, WriteRequest,
};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::DynamoStats;
use crate::store::StoreError;

/// What an item holds.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The most items of one batch write, and of one batch read; the protocol's own bounds.
const BATCH_WRITE: usize = 25;
const BATCH_READ: usize = 100;
/// Requests of one piece of work that are under way at once.
const AT_ONCE: usize = 16;
/// How often the rest of a batch is sent again.
const BATCH_ROUNDS: u32 = 8;

/// The names of attributes, short because they are stored and paid for with each item. None is a word that the
/// protocol reserves.
pub(super) mod name {
    /// The keys of the table.
    pub(crate) const PK: &str = "pk";
    pub(crate) const SK: &str = "sk";
    /// What has to be read whole, as JSON.
    pub(crate) const DOC: &str = "doc";
    /// The number of a link, in digits that sort.
    pub(crate) const ID: &str = "lid";
    /// The version of a link.
    pub(crate) const VERSION: &str = "vsn";
    /// Clicks taken of a link, and how many there are.
    pub(crate) const CLICKS: &str = "clk";
    pub(crate) const CLICK_LIMIT: &str = "clkmax";
    /// The entry of the log that edited a link last, or is deleting it.
    pub(crate) const EDITED_BY: &str = "lsn";
    pub(crate) const GONE_BY: &str = "gone";
    /// The token a link was made with.
    pub(crate) const MADE_WITH: &str = "tok";
    /// The keys of the indexes.
    pub(crate) const PART: &str = "gp";
    pub(crate) const BY_CREATION: &str = "cs";
    pub(crate) const BY_CODE: &str = "ks";
    pub(crate) const TIME_PART: &str = "tp";
    pub(crate) const BY_TIME: &str = "ts";
    /// What tells an attempt from others, and how far it is.
    pub(crate) const OWNER: &str = "own";
    pub(crate) const PHASE: &str = "phase";
    /// A number that only grows.
    pub(crate) const LAST: &str = "lst";
    pub(crate) const LINKS: &str = "links";
}

/// One index of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    /// `None`: the table itself.
    pub(super) name: Option<&'static str>,
    pub(super) part: &'static str,
    pub(super) sort: &'static str,
}

/// The table itself.
pub(super) const ITEMS: Index = Index {
    name: None,
    part: name::PK,
    sort: name::SK,
};

/// Which sort keys are asked for.
#[derive(Debug, Clone)]
pub(super) enum Range {
    All,
    After(String),
    Before(String),
    Between(String, String),
}

/// A question about one partition.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) index: Index,
    pub(super) part: String,
    pub(super) range: Range,
    pub(super) forward: bool,
    pub(super) limit: usize,
}

/// An update of one item.
#[derive(Debug, Clone, Default)]
pub(super) struct Change {
    set: Vec<String>,
    remove: Vec<&'static str>,
    conditions: Vec<String>,
    values: HashMap<String, AttributeValue>,
}

impl Change {
    /// Sets an attribute.
    pub(super) fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.set.push(format!("{name} = :{name}"));
        self.values.insert(format!(":{name}"), value);
        self
    }

    /// Takes an attribute away.
    pub(super) fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(name);
        self
    }

    /// Sets an attribute, or takes it away.
    pub(super) fn put(self, name: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Adds to a number, which is 0 if it is not there.
    pub(super) fn add(mut self, name: &'static str, by: i128) -> Self {
        let (sign, by) = if by < 0 { ('-', -by) } else { ('+', by) };
        self.set.push(format!(
            "{name} = if_not_exists({name}, :zero) {sign} :by_{name}"
        ));
        self.values.insert(":zero".into(), number(0));
        self.values.insert(format!(":by_{name}"), number(by));
        self
    }

    /// Only if the attribute has this value.
    pub(super) fn only_if(self, name: &'static str, value: AttributeValue) -> Self {
        let condition = format!("{name} = :is_{name}");
        self.only(condition, format!(":is_{name}"), value)
    }

    /// Only if the item is there, and the attribute is not.
    pub(super) fn only_without(mut self, name: &'static str) -> Self {
        self.conditions.push("attribute_exists(pk)".to_owned());
        self.conditions
            .push(format!("attribute_not_exists({name})"));
        self
    }

    /// Only under a condition that names a value.
    pub(super) fn only(
        mut self,
        condition: String,
        placeholder: impl Into<String>,
        value: AttributeValue,
    ) -> Self {
        self.conditions.push(condition);
        self.values.insert(placeholder.into(), value);
        self
    }

    /// Only under a condition that names no value.
    pub(super) fn condition(mut self, condition: String) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Gives another value that a condition names.
    pub(super) fn value(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(placeholder.into(), value);
        self
    }

    fn expression(&self) -> Option<String> {
        let mut text = String::new();
        if !self.set.is_empty() {
            text.push_str(&format!("SET {} ", self.set.join(", ")));
        }
        if !self.remove.is_empty() {
            text.push_str(&format!("REMOVE {}", self.remove.join(", ")));
        }
        (!text.is_empty()).then_some(text)
    }

    fn conditions(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }
}

/// A table and the client that asks it.
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
    requests: AtomicU64,
    throttled: AtomicU64,
    failed: AtomicU64,
}

impl Table {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            requests: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self) -> DynamoStats {
        DynamoStats {
            requests: self.requests.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Counts an answer, and says what a failure means.
    pub(super) fn answer<T, E, R>(&self, answer: Result<T, SdkError<E, R>>) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        self.requests.fetch_add(1, Relaxed);
        answer.map_err(|error| {
            let error = failure(error);
            match error {
                StoreError::Overloaded => self.throttled.fetch_add(1, Relaxed),
                _ => self.failed.fetch_add(1, Relaxed),
            };
            error
        })
    }

    /// The same for a write with a condition: `None` if that did not hold.
    fn conditional<T, E, R>(
        &self,
        answer: Result<T, SdkError<E, R>>,
    ) -> Result<Option<T>, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        match answer {
            Err(SdkError::ServiceError(context))
                if context.err().code() == Some("ConditionalCheckFailedException") =>
            {
                self.requests.fetch_add(1, Relaxed);
                Ok(None)
            }
            answer => self.answer(answer).map(Some),
        }
    }

    /// One item.
    pub(super) async fn get(&self, pk: &str, sk: &str) -> Result<Option<Item>, StoreError> {
        let asked = self.client.get_item().table_name(&self.name);
        let asked = asked.key(name::PK, string(pk)).key(name::SK, string(sk));
        let answer = asked.consistent_read(true).send().await;
        Ok(self.answer(answer)?.item)
    }

    /// Writes an item, if there is none under its keys; `false` if there is.
    pub(super) async fn put_new(&self, item: Item) -> Result<bool, StoreError> {
        let put = self.client.put_item().table_name(&self.name);
        let put = put.set_item(Some(item));
        let put = put.condition_expression("attribute_not_exists(pk)");
        Ok(self.conditional(put.send().await)?.is_some())
    }

    /// Writes an item, whatever was there.
    pub(super) async fn put(&self, item: Item) -> Result<(), StoreError> {
        let put = self.client.put_item().table_name(&self.name);
        self.answer(put.set_item(Some(item)).send().await)?;
        Ok(())
    }

    /// Changes an item, and answers it as it is then; `None` if a condition did not hold.
    pub(super) async fn update(
        &self,
        pk: &str,
        sk: &str,
        change: Change,
    ) -> Result<Option<Item>, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(name::PK, string(pk))
            .key(name::SK, string(sk))
            .set_update_expression(change.expression())
            .set_condition_expression(change.conditions())
            .return_values(ReturnValue::AllNew);
        let update = update
            .set_expression_attribute_values((!change.values.is_empty()).then_some(change.values));
        let answer = self.conditional(update.send().await)?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    /// Deletes an item, under the conditions of a change, and answers what it was; `None` if there was none or a
    /// condition did not hold.
    pub(super) async fn delete(
        &self,
        pk: &str,
        sk: &str,
        change: Change,
    ) -> Result<Option<Item>, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key(name::PK, string(pk))
            .key(name::SK, string(sk))
            .set_condition_expression(change.conditions())
            .return_values(ReturnValue::AllOld);
        let delete = delete
            .set_expression_attribute_values((!change.values.is_empty()).then_some(change.values));
        let answer = self.conditional(delete.send().await)?;
        Ok(answer.and_then(|answer| answer.attributes))
    }

    /// Items of one partition in order, and whether there are more.
    pub(super) async fn query(&self, query: Query) -> Result<(Vec<Item>, bool), StoreError> {
        let answer = self
            .ask(&query, Select::AllProjectedAttributes, None)
            .await?;
        Ok((answer.0, answer.2.is_some()))
    }

    /// How many items a partition has in a range.
    pub(super) async fn count(&self, query: Query) -> Result<u64, StoreError> {
        let (mut total, mut from) = (0, None);
        loop {
            let (_, count, next) = self.ask(&query, Select::Count, from).await?;
            total += count;
            if next.is_none() {
                return Ok(total);
            }
            from = next;
        }
    }

    async fn ask(
        &self,
        query: &Query,
        select: Select,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, u64, Option<Item>), StoreError> {
        let Index { name, part, sort } = query.index;
        let mut condition = format!("{part} = :part");
        let mut asked = self
            .client
            .query()
            .table_name(&self.name)
            .set_index_name(name.map(str::to_owned))
            // Only the table itself can be read so.
            .set_consistent_read(name.is_none().then_some(true))
            .scan_index_forward(query.forward)
            .set_exclusive_start_key(from)
            .expression_attribute_values(":part", string(&query.part));
        if select == Select::Count {
            asked = asked.select(select);
        } else {
            asked = asked.limit(i32::try_from(query.limit).unwrap_or(i32::MAX));
        }
        let (compared, bounds) = match &query.range {
            Range::All => ("", vec![]),
            Range::After(bound) => (" AND {} > :from", vec![bound]),
            Range::Before(bound) => (" AND {} < :from", vec![bound]),
            Range::Between(from, to) => (" AND {} BETWEEN :from AND :to", vec![from, to]),
        };
        condition.push_str(&compared.replace("{}", sort));
        for (place, bound) in [":from", ":to"].into_iter().zip(bounds) {
            asked = asked.expression_attribute_values(place, string(bound));
        }
        let answer = asked.key_condition_expression(condition).send().await;
        let answer = self.answer(answer)?;
        let count = u64::try_from(answer.count).unwrap_or(0);
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((answer.items.unwrap_or_default(), count, next))
    }

    /// Items of many keys, in no order; those that are not there are left out.
    pub(super) async fn get_all(
        &self,
        keys: Vec<(String, String)>,
    ) -> Result<Vec<Item>, StoreError> {
        let chunks = keys.chunks(BATCH_READ).map(|chunk| self.get_chunk(chunk));
        Ok(try_join_all(chunks).await?.into_iter().flatten().collect())
    }

    async fn get_chunk(&self, keys: &[(String, String)]) -> Result<Vec<Item>, StoreError> {
        let keys = keys.iter().map(|(pk, sk)| {
            HashMap::from([
                (name::PK.to_owned(), string(pk)),
                (name::SK.to_owned(), string(sk)),
            ])
        });
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(keys.collect()))
            .consistent_read(true)
            .build()
            .map_err(defect)?;
        let mut found = Vec::new();
        let mut rest = Some(HashMap::from([(self.name.clone(), asked)]));
        for round in 0..BATCH_ROUNDS {
            let get = self.client.batch_get_item().set_request_items(rest.take());
            let answer = self.answer(get.send().await)?;
            let items = answer.responses.unwrap_or_default();
            found.extend(items.into_values().flatten());
            rest = answer.unprocessed_keys.filter(|keys| !keys.is_empty());
            if rest.is_none() {
                return Ok(found);
            }
            back_off(round).await;
        }
        Err(StoreError::Overloaded)
    }

    /// Writes many items without conditions, in no order.
    pub(super) async fn put_all(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let writes = items.into_iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build();
            Ok(WriteRequest::builder()
                .put_request(put.map_err(defect)?)
                .build())
        });
        self.write_all(writes.collect::<Result<_, StoreError>>()?)
            .await
    }

    /// Deletes many items without conditions, in no order.
    pub(super) async fn delete_all(&self, keys: Vec<(String, String)>) -> Result<(), StoreError> {
        let writes = keys.into_iter().map(|(pk, sk)| {
            let delete = DeleteRequest::builder()
                .key(name::PK, string(pk))
                .key(name::SK, string(sk))
                .build();
            Ok(WriteRequest::builder()
                .delete_request(delete.map_err(defect)?)
                .build())
        });
        self.write_all(writes.collect::<Result<_, StoreError>>()?)
            .await
    }

    async fn write_all(&self, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
        for chunk in writes.chunks(BATCH_WRITE) {
            let mut rest = chunk.to_vec();
            for round in 0..BATCH_ROUNDS {
                let write = self.client.batch_write_item();
                let write = write.request_items(&self.name, std::mem::take(&mut rest));
                let answer = self.answer(write.send().await)?;
                let left = answer.unprocessed_items.unwrap_or_default();
                rest = left.into_values().flatten().collect();
                if rest.is_empty() {
                    break;
                }
                back_off(round).await;
            }
            if !rest.is_empty() {
                return Err(StoreError::Overloaded);
            }
        }
        Ok(())
    }
}

/// Does all of it, so much at once, and answers in the order given.
pub(super) async fn together<F, T>(work: Vec<F>) -> Result<Vec<T>, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    stream::iter(work).buffered(AT_ONCE).try_collect().await
}

/// Waits before what was not done of a batch is sent again.
async fn back_off(round: u32) {
    tokio::time::sleep(Duration::from_millis(20) * 2u32.pow(round.min(6))).await;
}

/// A text as an attribute.
pub(super) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number as an attribute.
pub(super) fn number(number: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A request that the client would not make; none of ours.
pub(super) fn defect(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unexpected(error.to_string())
}

/// What a failure means. Attempts that are worth it were made again already.
fn failure<E, R>(error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let SdkError::ServiceError(context) = &error else {
        return StoreError::Unavailable(DisplayErrorContext(error).to_string());
    };
    let code = context.err().code().unwrap_or_default();
    let message = context.err().message().unwrap_or_default();
    let text = format!("{code}: {message}");
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "LimitExceededException" => StoreError::Overloaded,
        "ItemCollectionSizeLimitExceededException" => StoreError::Full(text),
        "ValidationException" | "SerializationException" | "UnknownOperationException" => {
            StoreError::Unexpected(text)
        }
        // Also what an operator can put right while this runs: a right that is missing, a table that is not there,
        // credentials that have expired.
        _ => StoreError::Unavailable(text),
    }
}
