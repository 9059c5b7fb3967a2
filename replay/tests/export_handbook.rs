//! Our features equal those that the Fraud Detection Handbook published.
//!
//! The published files do not ship with the project: without them the tests say so and pass.

use std::path::PathBuf;

use pinion_replay::compare::{CompareError, handbook};

/// The file, or `None` and a note.
fn shared(name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("shared/data/payments").join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn golden_small_files_are_equal() {
    let (Some(raw), Some(published)) = (shared("mini_raw.csv"), shared("mini_features.csv")) else {
        return;
    };
    let outcome = handbook(&raw, &published, None).unwrap();
    println!("{outcome:?}");
    assert!(outcome.all.is_equal(), "{:?}", outcome.all);
    assert_eq!((outcome.all.rows, outcome.all.values), (14_076, 14 * 14_076));
    assert_eq!(outcome.ties, None);
    assert_eq!(outcome.usage.merged_events + outcome.usage.unkept_events, 0);
}

#[test]
fn golden_whole_publication_is_equal() {
    let names = [
        "handbook_raw.parquet",
        "handbook_features.parquet",
        "handbook_tie_rows.csv",
    ];
    let [Some(raw), Some(published), Some(ties)] = names.map(shared) else {
        return;
    };
    let outcome = handbook(&raw, &published, Some(&ties)).unwrap();
    println!("{outcome:?}");
    assert!(outcome.all.is_equal(), "{:?}", outcome.all);
    assert_eq!(
        (outcome.all.rows, outcome.all.values),
        (1_754_155, 14 * 1_754_155)
    );
    let ties = outcome.ties.unwrap();
    assert_eq!((ties.in_order_of_id.rows, ties.as_published.rows), (20, 20));
    assert!(ties.in_order_of_id.is_equal(), "{ties:?}");
    assert!(
        !ties.as_published.is_equal(),
        "the publication's order differs in them"
    );
    assert_eq!(outcome.usage.merged_events + outcome.usage.unkept_events, 0);
}

#[test]
fn files_of_other_transactions_are_refused() {
    let (Some(raw), Some(published)) = (shared("mini_raw.csv"), shared("handbook_features.parquet")) else {
        return;
    };
    let error = handbook(&raw, &published, None).unwrap_err();
    assert!(
        matches!(error, CompareError::OtherTransaction { row: 1, .. }),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "row 1 of the published features is of transaction 0, expected 2"
    );
}
