//! The page of reason codes and the constants say the same.

#[test]
fn the_page_lists_every_constant_with_its_code() {
    let page = include_str!("../../../docs/reason-codes.md");
    let source = include_str!("../src/reasons.rs");
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const "));
    let mut count = 0;
    for constant in constants {
        let (name, rest) = constant.split_once(": u16 = ").unwrap();
        let code = rest.trim_end_matches(';');
        let row = page.lines().find(|row| row.starts_with(&format!("| {code} |")));
        assert!(
            row.is_some_and(|row| row.contains(&format!("`{name}`"))),
            "{name} = {code}"
        );
        count += 1;
    }
    assert_eq!(count, page.matches("(`").count());
}
