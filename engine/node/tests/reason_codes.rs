//! The page of reason codes lists the features of the model as they are.

use pinion_features::FEATURES;

#[test]
fn the_page_lists_every_feature_under_its_code() {
    let page = include_str!("../../../docs/reason-codes.md");
    for (code, feature) in (1..).zip(&FEATURES) {
        let row = format!(
            "| {code} | `{}` | {} | {} | {} |",
            feature.name, feature.unit, feature.window, feature.source
        );
        assert!(page.lines().any(|line| line == row), "expected the row {row}");
    }
}
