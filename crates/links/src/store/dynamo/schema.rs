//! Making the table, and finding out whether it is one of ours.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveSpecification,
};

use super::item::Fields as _;
use super::table::{Index, Item, Table, defect, name, number, string};
use crate::store::StoreError;

/// The version of what is in the table.
const VERSION: u32 = 1;
/// Where it is written down.
const META: &str = "meta";
const SCHEMA: &str = "schema";
/// What the service may delete by itself, some time after this attribute says so.
pub(super) const TTL: &str = "ttlsec";
/// Between two looks whether the table is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a new table may take.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Links in the order in which they were created, whole.
pub(super) const BY_CREATION: Index = Index {
    name: Some("by_creation"),
    part: name::PART,
    sort: name::BY_CREATION,
};
/// Links in the order of their codes, whole.
pub(super) const BY_CODE: Index = Index {
    name: Some("by_code"),
    part: name::PART,
    sort: name::BY_CODE,
};
/// Keys of links in the order in which they were inserted.
pub(super) const BY_NUMBER: Index = Index {
    name: Some("by_number"),
    part: name::PART,
    sort: name::ID,
};
/// Keys of all that waits for a moment: links that expire, tokens, codes of the pool.
pub(super) const BY_TIME: Index = Index {
    name: Some("by_time"),
    part: name::TIME_PART,
    sort: name::BY_TIME,
};

/// Makes what is missing, and answers into how many partitions each index is divided.
pub(super) async fn prepare(
    table: &Table,
    partitions: u64,
    place: &str,
) -> Result<u64, StoreError> {
    if describe(table).await?.is_none() {
        create(table).await?;
    }
    wait_until_ready(table, place).await?;
    let first = Item::from([
        (name::PK.into(), string(META)),
        (name::SK.into(), string(SCHEMA)),
        (name::VERSION.into(), number(VERSION)),
        (name::LAST.into(), number(partitions)),
    ]);
    if table.put_new(first).await? {
        expire_tokens(table).await;
        return Ok(partitions);
    }
    let found = table.get(META, SCHEMA).await?.unwrap_or_default();
    let version: u32 = found.number(name::VERSION)?;
    if version > VERSION {
        return Err(StoreError::NewerSchema {
            place: place.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    found.number(name::LAST)
}

async fn describe(table: &Table) -> Result<Option<TableDescription>, StoreError> {
    let asked = table.client.describe_table().table_name(&table.name);
    match asked.send().await {
        Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
        answer => Ok(table.answer(answer)?.table),
    }
}

async fn create(table: &Table) -> Result<(), StoreError> {
    let mut create = table
        .client
        .create_table()
        .table_name(&table.name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key(name::PK, KeyType::Hash)?)
        .key_schema(key(name::SK, KeyType::Range)?);
    let keys = [
        name::PK,
        name::SK,
        name::PART,
        name::BY_CREATION,
        name::BY_CODE,
        name::ID,
        name::TIME_PART,
        name::BY_TIME,
    ];
    for key in keys {
        let attribute = AttributeDefinition::builder()
            .attribute_name(key)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(defect)?;
        create = create.attribute_definitions(attribute);
    }
    for (index, kept) in [
        (BY_CREATION, ProjectionType::All),
        (BY_CODE, ProjectionType::All),
        (BY_NUMBER, ProjectionType::KeysOnly),
        (BY_TIME, ProjectionType::KeysOnly),
    ] {
        let index = GlobalSecondaryIndex::builder()
            .set_index_name(index.name.map(str::to_owned))
            .key_schema(key(index.part, KeyType::Hash)?)
            .key_schema(key(index.sort, KeyType::Range)?)
            .projection(Projection::builder().projection_type(kept).build())
            .build()
            .map_err(defect)?;
        create = create.global_secondary_indexes(index);
    }
    match create.send().await {
        // Another instance is making it.
        Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
        answer => table.answer(answer).map(|_| ()),
    }
}

fn key(name: &str, kind: KeyType) -> Result<KeySchemaElement, StoreError> {
    let key = KeySchemaElement::builder().attribute_name(name);
    key.key_type(kind).build().map_err(defect)
}

async fn wait_until_ready(table: &Table, place: &str) -> Result<(), StoreError> {
    let wait = async {
        loop {
            if let Some(found) = describe(table).await?
                && is_ready(&found, place)?
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let late = |_| StoreError::Unavailable(format!("{place} is being made for too long"));
    tokio::time::timeout(READY_WITHIN, wait)
        .await
        .unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// Whether all of it can be used; an error if it is somebody else's table.
fn is_ready(found: &TableDescription, place: &str) -> Result<bool, StoreError> {
    let keys: Vec<&str> = found
        .key_schema()
        .iter()
        .map(KeySchemaElement::attribute_name)
        .collect();
    let indexes = found.global_secondary_indexes();
    let has = |index: &Index| indexes.iter().any(|found| found.index_name() == index.name);
    let all = [BY_CREATION, BY_CODE, BY_NUMBER, BY_TIME];
    if keys != [name::PK, name::SK] || !all.iter().all(has) {
        return Err(StoreError::Unexpected(format!(
            "{place} was not made by this program: it has other keys or indexes"
        )));
    }
    // Some engines tell of the table only.
    let ready = indexes
        .iter()
        .filter_map(|index| index.index_status())
        .all(|status| *status == IndexStatus::Active);
    Ok(ready && found.table_status() == Some(&TableStatus::Active))
}

/// Lets the service forget what was left over. Whatever comes of it, the sweeper decides by itself.
async fn expire_tokens(table: &Table) {
    let Ok(wanted) = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(TTL)
        .build()
    else {
        return;
    };
    let update = table.client.update_time_to_live().table_name(&table.name);
    if let Err(error) = update.time_to_live_specification(wanted).send().await {
        let code = error.code().unwrap_or("no answer").to_owned();
        tracing::info!(code, "the table does not expire items by itself");
    }
}
