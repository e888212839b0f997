//! The code that is generated from the protocol, against what would be generated now.

use std::fs;
use std::path::Path;

use prost::Message as _;

/// Set to write the code instead of comparing it.
const UPDATE: &str = "UPDATE_PROTO";

#[test]
fn the_generated_code_is_that_of_the_protocol() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = tempfile::tempdir().unwrap();
    let service = "envoy/service/ratelimit/v3/rls.proto";
    let descriptors = protox::compile([service], [root.join("proto")]).unwrap();
    // Comments are for the code alone: reflection does without.
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    fs::write(made.path().join("descriptors.bin"), bare.encode_to_vec()).unwrap();
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .include_file("mod.rs")
        .out_dir(made.path())
        .compile_fds(descriptors)
        .unwrap();

    let kept = root.join("src/grpc/pb");
    let mut names = files(made.path());
    if std::env::var_os(UPDATE).is_some() {
        for name in files(&kept) {
            fs::remove_file(kept.join(name)).unwrap();
        }
        for name in &names {
            fs::copy(made.path().join(name), kept.join(name)).unwrap();
        }
    }
    names.extend(files(&kept));
    for name in names {
        let [made, kept] =
            [made.path(), &kept].map(|directory| fs::read(directory.join(&name)).ok());
        assert!(
            made == kept,
            "src/grpc/pb/{name} is old: run this with {UPDATE}=1"
        );
    }
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    entries.map(|entry| name(entry).unwrap()).collect()
}
