//! What has to hold for any file of a configuration.

use std::path::Path;

use crate::load::Config;
use crate::source::Given;
use crate::{Place, default_file};

/// A file is right or every fault has its place in it; and it says the same behind what is the default anyway.
pub fn config_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = Path::new("fuzz.toml");
    let read = |text: &str| {
        let mut given = Given::default();
        given.add_file(file, text);
        Config::read(given)
    };
    match read(text) {
        Ok(config) => {
            assert_eq!(read(text).as_ref(), Ok(&config));
            // The default file has its keys commented out.
            let commented: String = default_file()
                .lines()
                .filter(|line| line.starts_with('#'))
                .flat_map(|line| [line, "\n"])
                .collect();
            assert_eq!(read(&format!("{commented}{text}")).as_ref(), Ok(&config));
            let _ = format!("{config:?}");
        }
        Err(error) => {
            assert!(!error.0.is_empty());
            for problem in &error.0 {
                assert!(!problem.message.is_empty());
                if let Place::Position { line, column, .. } = &problem.place {
                    let lines = text.split('\n').count();
                    assert!((1..=lines).contains(line) && *column >= 1, "{problem}");
                }
            }
        }
    }
}
