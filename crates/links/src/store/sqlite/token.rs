//! Idempotency tokens, and the answers they are remembered with.

use rusqlite::{Connection, OptionalExtension};

use super::row::{damaged, unwritable};
use crate::Link;
use crate::store::IdempotencyToken;
use crate::store::answer::{Action, Seen, answer_column, read_answer};

/// Looks a token up.
pub(super) fn seen(
    connection: &Connection,
    token: Option<&IdempotencyToken>,
    action: Action,
) -> rusqlite::Result<Seen> {
    let Some(token) = token else {
        return Ok(Seen::New);
    };
    let known = connection
        .prepare_cached("SELECT request, action, answer FROM tokens WHERE id = ?1")?
        .query_row([token.id.as_slice()], |row| {
            let same = row.get_ref(0)?.as_blob()? == token.request.as_slice()
                && row.get::<_, u8>(1)? == action as u8;
            if !same {
                return Ok(Seen::Mismatch);
            }
            let answer = row.get_ref(2)?.as_str_or_null()?.map(read_answer);
            let answer = answer.transpose().map_err(|error| damaged(2, error))?;
            Ok(Seen::Before(answer.map(Box::new)))
        })
        .optional()?;
    Ok(known.unwrap_or(Seen::New))
}

/// Remembers what was answered.
pub(super) fn remember(
    connection: &Connection,
    token: Option<&IdempotencyToken>,
    action: Action,
    answer: Option<&Link>,
) -> rusqlite::Result<()> {
    let Some(IdempotencyToken { id, request, at }) = token else {
        return Ok(());
    };
    let answer = answer.map(answer_column).transpose().map_err(unwritable)?;
    connection
        .prepare_cached(
            "INSERT INTO tokens(id, request, at, action, answer) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            id.as_slice(),
            request.as_slice(),
            at.as_millis(),
            action as u8,
            answer,
        ))?;
    Ok(())
}
