//! The page of reason codes lists the features of the model as they are.

use pinion_features::FeatureSet;

#[test]
fn the_page_lists_every_feature_under_its_code() {
    let page = include_str!("../../../docs/reason-codes.md");
    let sets = [FeatureSet::payments_v1(), FeatureSet::payments_v2()];
    let slots = sets.iter().flat_map(|set| (1..).zip(set.slot_names()));
    for (code, name) in slots {
        let row = format!("| {code} | `{name}` |");
        assert!(
            page.lines().any(|line| line.starts_with(&row)),
            "expected the row {row}"
        );
    }
}
