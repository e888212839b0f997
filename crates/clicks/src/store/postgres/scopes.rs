//! What is counted apart, and the numbers it is known by.

use tollgate_postgres::{Failure, Session};

use crate::rollup::ScopeName;

/// Scopes in one statement.
const CHUNK: usize = 5_000;

/// The columns of scopes.
struct Names<'n> {
    kinds: Vec<i16>,
    domains: Vec<&'n str>,
    codes: Vec<&'n str>,
}

impl<'n> Names<'n> {
    fn of(names: impl Iterator<Item = &'n ScopeName>) -> Self {
        let mut columns = Self {
            kinds: Vec::new(),
            domains: Vec::new(),
            codes: Vec::new(),
        };
        for name in names {
            let (kind, domain, code) = name.columns();
            columns.kinds.push(kind);
            columns.domains.push(domain);
            columns.codes.push(code);
        }
        columns
    }
}

/// The number of each scope, in their order; none where nothing was ever counted.
pub(super) async fn find(
    session: &mut Session,
    scopes: &[ScopeName],
) -> Result<Vec<Option<i64>>, Failure> {
    let mut numbers = vec![None; scopes.len()];
    for (chunk, numbers) in scopes.chunks(CHUNK).zip(numbers.chunks_mut(CHUNK)) {
        let Names {
            kinds,
            domains,
            codes,
        } = Names::of(chunk.iter());
        let rows = session
            .rows(
                "SELECT name.place, scope.id
                 FROM unnest($1::smallint[], $2::text[], $3::text[])
                     WITH ORDINALITY AS name(kind, domain, code, place)
                 JOIN click_scopes AS scope ON scope.code = name.code
                     AND scope.domain = name.domain AND scope.kind = name.kind",
                &[&kinds, &domains, &codes],
            )
            .await?;
        for row in rows {
            let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
            if let Some(number) = place.checked_sub(1).and_then(|at| numbers.get_mut(at)) {
                *number = Some(row.try_get(1)?);
            }
        }
    }
    Ok(numbers)
}

/// The number of each scope, in their order. Those that are new are made at once, in a transaction of
/// their own: others who count clicks of the same new link need not wait.
pub(super) async fn make(session: &mut Session, scopes: &[ScopeName]) -> Result<Vec<i64>, Failure> {
    // A link may be forgotten in between.
    for _ in 0..10 {
        let numbers = find(session, scopes).await?;
        let mut missing: Vec<&ScopeName> = numbers
            .iter()
            .zip(scopes)
            .filter_map(|(number, name)| number.is_none().then_some(name))
            .collect();
        if missing.is_empty() {
            return Ok(numbers.into_iter().flatten().collect());
        }
        // In one order, so that nobody waits in a circle.
        missing.sort_unstable();
        for chunk in missing.chunks(CHUNK) {
            let Names {
                kinds,
                domains,
                codes,
            } = Names::of(chunk.iter().copied());
            session
                .change(
                    "INSERT INTO click_scopes(kind, domain, code)
                     SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[])
                     ON CONFLICT (code, domain, kind) DO NOTHING",
                    &[&kinds, &domains, &codes],
                )
                .await?;
        }
    }
    Err(Failure::Damaged("scopes that were made are gone".into()))
}
