//! The shipped feature sets and their schema are what the code says.

use std::path::{Path, PathBuf};

use pinion_features::set::schema::json_schema;
use pinion_features::set::{FeatureSet, canonical};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../features")
}

/// The shipped sets by the name of their file.
fn shipped() -> Vec<(String, FeatureSet)> {
    let entries = std::fs::read_dir(folder()).expect("the folder of the feature sets");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let sets = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    sets.map(|path| match FeatureSet::load(&path) {
        Ok(set) => (name(&path), set),
        Err(error) => panic!("{error}"),
    })
    .collect()
}

/// `PINION_BLESS=1` writes the file.
#[test]
fn golden_schema_is_the_committed_file() {
    let path = folder().join("feature-set.schema.json");
    if std::env::var_os("PINION_BLESS").is_some() {
        std::fs::write(&path, json_schema()).expect("the schema can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the schema is there");
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(
        value(&committed),
        value(&json_schema()),
        "PINION_BLESS=1 writes the schema"
    );
}

#[test]
fn every_shipped_set_is_accepted_and_named_as_its_file() {
    let sets = shipped();
    assert!(sets.len() >= 2, "{sets:?}");
    for (file, set) in sets {
        assert_eq!(set.name, file);
        let text = std::fs::read_to_string(folder().join(format!("{file}.toml"))).unwrap();
        assert!(text.starts_with("#:schema ./feature-set.schema.json\n"), "{file}");
    }
}

/// So that the model that was trained on the one can be served from the other.
#[test]
fn payments_attempts_begins_with_payments_v1() {
    let sets = shipped();
    let set = |name: &str| &sets.iter().find(|(file, _)| file == name).expect(name).1;
    let (first, longer) = (set("payments-v1"), set("payments-attempts"));
    assert_eq!(
        canonical::hash_of_first(longer, first.slot_count()),
        Some(canonical::hash(first))
    );
    assert!(longer.slot_count() > first.slot_count());
}
