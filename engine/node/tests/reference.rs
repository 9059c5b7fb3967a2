//! The committed reference and the code say the same.

use std::path::Path;

use pinion_node::config::{Config, Sources, reference};

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/reference.toml")
}

#[test]
fn golden_reference_lists_every_key_with_its_default_and_comment() {
    let text = reference::text();
    if std::env::var_os("PINION_BLESS").is_some() {
        std::fs::write(committed(), &text).unwrap();
    }
    let found = std::fs::read_to_string(committed()).unwrap();
    assert!(
        found == text,
        "config/reference.toml is not current: run this test with PINION_BLESS=1"
    );
}

#[test]
fn reading_the_reference_gives_the_defaults() {
    let sources = Sources {
        file: Some(committed()),
        ..Sources::default()
    };
    assert_eq!(Config::load(&sources).unwrap(), Config::default());
}

#[test]
fn every_key_has_a_comment() {
    assert_eq!(reference::undocumented_keys(), Vec::<String>::new());
}
