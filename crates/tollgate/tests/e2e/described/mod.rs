//! The API against its own description, by Schemathesis: requests of every kind that the description allows, and such
//! that it forbids, alone and one after the other.
//!
//! It comes from PyPI: `scripts/test` installs it, and says where it is in `SCHEMATHESIS`. `SCHEMATHESIS_SEED` and
//! `SCHEMATHESIS_EXAMPLES` ask for other requests, and for more: `docs/fuzzing.md` tells how.

use std::env;
use std::process::Command;

use crate::server::Options;

/// The directory of this file.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/described");

#[test]
#[ignore = "needs Schemathesis, and a minute"]
fn the_api_is_as_it_is_described() {
    let modules = env::var("SCHEMATHESIS")
        .expect("SCHEMATHESIS says where Schemathesis is: see scripts/test");
    let given = |name: &str, usual: &str| env::var(name).unwrap_or_else(|_| usual.to_owned());
    let server = Options::default().start();
    let home = tempfile::tempdir().unwrap();
    let status = Command::new("python3")
        .env("PYTHONPATH", modules)
        // It keeps files of its own there.
        .current_dir(&home)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(format!("{HERE}/schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/api/openapi.json", server.admin))
        .arg(format!("--header=Authorization: Bearer {}", server.key))
        .arg(format!("--seed={}", given("SCHEMATHESIS_SEED", "1")))
        .arg(format!(
            "--max-examples={}",
            given("SCHEMATHESIS_EXAMPLES", "15")
        ))
        .arg("--no-color")
        .status()
        .expect("python3 starts");
    assert!(status.success(), "{status}: what it found is above");
}
