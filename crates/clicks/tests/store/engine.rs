//! What the suite needs to know of an engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tollgate_clicks::store::{ClickStore, SqliteClickStore, SqliteOptions};

use super::clock;

/// What is kept of single clicks.
#[derive(Clone)]
pub(crate) struct Keep {
    pub(crate) raw: Duration,
    pub(crate) archive: Option<PathBuf>,
}

impl Keep {
    pub(crate) const fn days(days: u64) -> Self {
        Self {
            raw: Duration::from_hours(24 * days),
            archive: None,
        }
    }
}

/// A place that stores are opened on.
#[async_trait]
pub(crate) trait Engine: Sized + Send + Sync {
    /// How many cases of a property are tried.
    const CASES: u32;

    /// One without clicks.
    fn fresh() -> Self;

    /// Opens it. There may be others on the same place.
    async fn open(&self, keep: Keep) -> Arc<dyn ClickStore>;
}

/// Makes a test of each case for an engine. Those of one that comes from the network are `ignored`.
macro_rules! suite {
    (@cases $ignored:tt $engine:ty: $($module:ident::{$($case:ident),+ $(,)?})+) => {
        $($(crate::engine::suite! { @case $ignored $engine: $module $case })+)+
    };
    (@case ($($why:literal)?) $engine:ty: $module:ident $case:ident) => {
        #[test]
        $(#[ignore = $why])?
        fn $case() {
            crate::$module::$case::<$engine>();
        }
    };
    ($engine:ty) => {
        crate::engine::suite! { @all () $engine }
    };
    ($engine:ty, ignored: $why:literal) => {
        crate::engine::suite! { @all ($why) $engine }
    };
    (@all $ignored:tt $engine:ty) => {
        crate::engine::suite! {
            @cases $ignored $engine:
            queries::{
                every_query_is_answered_as_by_the_model,
                pages_list_every_click_once_newest_day_first,
                wrong_queries_name_the_parameter,
            }
            counting::{
                a_batch_that_does_not_follow_is_refused_and_counts_nothing,
                instances_count_together_as_the_model,
                instances_that_count_the_same_links_at_once_lose_nothing,
                many_values_of_a_dimension_are_bounded_and_none_is_lost,
            }
            importing::{
                past_clicks_count_once_however_often_they_are_told,
                past_clicks_count_once_when_instances_import_them_at_once,
                past_clicks_of_many_links_count_once_together,
                past_clicks_of_many_links_count_once_by_instances_at_once,
                past_clicks_without_a_time_are_in_no_period,
                past_clicks_are_kept_single_only_within_their_time,
                past_clicks_of_a_forgotten_link_can_be_imported_again,
            }
            retention::{
                days_past_their_time_are_archived_and_dropped_and_roll_ups_stay,
                nothing_is_dropped_that_cannot_be_archived,
                no_time_keeps_no_raw_clicks,
                a_forgotten_link_is_gone_and_totals_stay,
                instances_that_drop_at_once_archive_all_once,
            }
        }
    };
}
pub(crate) use suite;

mod sqlite {
    use super::*;

    struct Sqlite(tempfile::TempDir);

    #[async_trait]
    impl Engine for Sqlite {
        const CASES: u32 = 96;

        fn fresh() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        async fn open(&self, keep: Keep) -> Arc<dyn ClickStore> {
            let options = SqliteOptions {
                retain_raw: keep.raw,
                archive: keep.archive,
                ..SqliteOptions::default()
            };
            let file = self.0.path().join("c.db");
            Arc::new(SqliteClickStore::open(&file, clock(), options).unwrap())
        }
    }

    suite!(Sqlite);
}
