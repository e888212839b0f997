//! What the fuzzer has found worth keeping is read again, and so is what is made of it by small changes; on any
//! toolchain. `docs/fuzzing.md` tells how to fuzz.

#![cfg(feature = "fuzzing")]
// Clippy only knows test functions as tests, not what they share.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tollgate::fuzz::TARGETS;

/// How many changed inputs each target reads.
const CHANGED: usize = 400;
/// The most bytes that all corpora may take.
const MOST_BYTES: usize = 1_000_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The inputs of each corpus, by their names.
fn corpora() -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let directories = fs::read_dir(fuzz().join("corpus")).unwrap();
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let corpora = directories.map(|entry| {
        let entry = entry.unwrap();
        let files = fs::read_dir(entry.path()).unwrap();
        let inputs = files.map(|file| {
            let file = file.unwrap();
            (name(&file), fs::read(file.path()).unwrap())
        });
        let mut inputs: Vec<_> = inputs.collect();
        inputs.sort();
        (name(&entry), inputs)
    });
    corpora.collect()
}

#[test]
fn each_target_has_a_corpus_and_a_binary_and_they_are_small() {
    let corpora = corpora();
    let names = TARGETS.map(|(name, _)| name);
    assert!(corpora.keys().eq(names), "{:?}", corpora.keys());
    let mut bytes = 0;
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, inputs) in &corpora {
        assert!(!inputs.is_empty(), "{name}");
        bytes += inputs.iter().map(|(_, input)| input.len()).sum::<usize>();
        let binary = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(
            binary.contains(&format!("tollgate::fuzz::{name}(data)")),
            "{name}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}

/// A failure names the input on standard error: what is wrong with it stands before.
#[test]
fn what_was_found_before_is_read_again() {
    let corpora = corpora();
    for (name, target) in TARGETS {
        for (input, data) in &corpora[name] {
            told(&format!("fuzz/corpus/{name}/{input}"), data, target);
        }
    }
}

#[test]
fn so_is_what_is_a_little_different() {
    let corpora = corpora();
    for (name, target) in TARGETS {
        let mut random = StdRng::seed_from_u64(7);
        let inputs = &corpora[name];
        for number in 0..CHANGED {
            let (_, one) = &inputs[random.random_range(0..inputs.len())];
            let (_, other) = &inputs[random.random_range(0..inputs.len())];
            let data = changed(one, other, &mut random);
            told(&format!("change {number} of {name}"), &data, target);
        }
    }
}

/// Reads an input; if that panics, tells which it was.
fn told(what: &str, data: &[u8], target: fn(&[u8])) {
    if let Err(panic) = std::panic::catch_unwind(|| target(data)) {
        eprintln!("{what}: {}", data.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

/// As fuzzers do it: some bytes are changed, left out, doubled, or come from another input.
fn changed(one: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut data = one.to_vec();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=data.len());
        let length = random.random_range(0..=16.min(data.len() - at));
        match random.random_range(0..5) {
            0 => data.insert(at, random.random()),
            1 if at < data.len() => data[at] ^= 1 << random.random_range(0..8),
            2 => drop(data.drain(at..at + length)),
            3 => data = [&data[..at + length], &data[at..]].concat(),
            _ => {
                let from = random.random_range(0..=other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
        }
    }
    data
}
