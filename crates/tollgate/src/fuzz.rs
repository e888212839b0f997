//! Everything that reads what a stranger sends, each as a function of bytes that panics if something does not hold that
//! has to. A fuzzer looks for such bytes (`fuzz/`), and a test reads again what it kept (`tests/fuzz_corpora.rs`).

pub use tollgate_clicks::fuzz::{spool_damage, spool_frames};
pub use tollgate_config::fuzz::config_toml;
pub use tollgate_limit::fuzz::policy_yaml;
pub use tollgate_links::fuzz::{cursor, link_draft, target_url};
pub use tollgate_server::fuzz::{
    edge_path, edge_request, grpc_request, proxy_headers, qr_query, resp,
};
pub use tollgate_simulate::fuzz::access_log;

pub use crate::import::fuzz::{import_csv, import_json, import_ndjson, import_shlink, import_sql};

/// One of them.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 19] = [
    ("access_log", access_log),
    ("config_toml", config_toml),
    ("cursor", cursor),
    ("edge_path", edge_path),
    ("edge_request", edge_request),
    ("grpc_request", grpc_request),
    ("import_csv", import_csv),
    ("import_json", import_json),
    ("import_ndjson", import_ndjson),
    ("import_shlink", import_shlink),
    ("import_sql", import_sql),
    ("link_draft", link_draft),
    ("policy_yaml", policy_yaml),
    ("proxy_headers", proxy_headers),
    ("qr_query", qr_query),
    ("resp", resp),
    ("spool_damage", spool_damage),
    ("spool_frames", spool_frames),
    ("target_url", target_url),
];
