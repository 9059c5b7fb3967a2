//! Search by cells beside the exact search: what it finds, when it counts, and when it gives way.

use pinion_runtime::state::{State, digest};
use pinion_schemas::ids::Id;
use pinion_score::bank::{Bank, BankConfig, Case, Label, Neighbour, Precision};
use proptest::prelude::*;
use proptest::sample::select;

const DIMENSIONS: usize = 24;
const CENTRES: u32 = 40;

/// Draws vectors: around one of the centres, or anywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn anywhere(&mut self) -> Vec<f32> {
        unit((0..DIMENSIONS).map(|_| self.next()).collect())
    }

    fn near(&mut self, centre: u32) -> Vec<f32> {
        let centre = Draw(u64::from(centre % CENTRES) * 7919 + 1).anywhere();
        let values = centre.iter().map(|value| value + 0.08 * self.next());
        unit(values.collect())
    }
}

fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

fn id(number: u32) -> Id {
    Id::new(&format!("{number}")).unwrap()
}

fn insert(bank: &mut Bank, number: u32, embedding: &[f32]) -> u32 {
    let case = Case {
        id: id(number),
        entity: 0,
        label: if number.is_multiple_of(4) {
            Label::Fraud
        } else {
            Label::Genuine
        },
        weight: 1.0,
        event_ns: i64::from(number),
        embedding,
    };
    bank.insert(&case).unwrap().row()
}

fn config(rows_max: u32, cells: u32, probes: u32) -> BankConfig {
    BankConfig {
        rows_max,
        approximate_from_rows: 100,
        cells,
        probes,
        ..BankConfig::default()
    }
}

/// A bank of `rows` around the centres, laid out in cells.
fn clustered(config: &BankConfig, rows: u32) -> Bank {
    let mut bank = Bank::new(config, DIMENSIONS).unwrap();
    let mut draw = Draw(3);
    for number in 0..rows {
        let embedding = draw.near(number);
        insert(&mut bank, number, &embedding);
    }
    assert!(bank.cluster() > 1);
    bank
}

fn search(bank: &mut Bank, query: &[f32], count: usize) -> Vec<Neighbour> {
    let mut nearest = vec![Neighbour::default(); count];
    let found = bank.search(query, &mut nearest);
    nearest.truncate(found);
    nearest
}

/// The bank's state under another configuration that has the same regions.
fn copy(from: &Bank, config: &BankConfig) -> Bank {
    let mut to = Bank::new(config, from.dimensions()).unwrap();
    for (region, target) in from.regions().iter().zip(to.regions_mut()) {
        assert_eq!((region.name, region.index), (target.name, target.index));
        target.bytes.copy_from_slice(region.bytes);
    }
    to
}

/// All rows as they are ranked exactly.
fn ranked(bank: &Bank, rows: &[u32], query: &[f32]) -> Vec<Neighbour> {
    let mut embedding = vec![0.0; DIMENSIONS];
    let mut all: Vec<Neighbour> = rows
        .iter()
        .map(|&row| {
            bank.embedding(row, &mut embedding);
            let products = query.iter().zip(&embedding).map(|(a, b)| a * b);
            let similarity = products.fold(0.0, |sum, product| sum + product);
            Neighbour { row, similarity }
        })
        .collect();
    all.sort_by(|a, b| {
        let by_similarity = b.similarity.total_cmp(&a.similarity);
        by_similarity.then(bank.sequence(b.row).cmp(&bank.sequence(a.row)))
    });
    all
}

#[derive(Clone, Debug)]
enum Operation {
    InsertNear(u32, u64),
    InsertAnywhere(u32, u64),
    Remove(u32),
    Relabel(u32),
    Search(u64, usize),
    Cluster,
}

fn operation() -> impl Strategy<Value = Operation> {
    let number = || 0_u32..1_000;
    prop_oneof![
        6 => (number(), 1_u64..1_000).prop_map(|(number, seed)| Operation::InsertNear(number, seed)),
        2 => (number(), 1_u64..1_000).prop_map(|(number, seed)| Operation::InsertAnywhere(number, seed)),
        4 => number().prop_map(Operation::Remove),
        1 => number().prop_map(Operation::Relabel),
        4 => (1_u64..1_000, 1_usize..40).prop_map(|(seed, count)| Operation::Search(seed, count)),
        1 => Just(Operation::Cluster),
    ]
}

/// Does it; returns what a search found.
fn apply(bank: &mut Bank, operation: &Operation) -> Vec<Neighbour> {
    match *operation {
        Operation::InsertNear(number, seed) => {
            insert(bank, number, &Draw(seed).near(number));
        }
        Operation::InsertAnywhere(number, seed) => {
            insert(bank, number, &Draw(seed).anywhere());
        }
        Operation::Remove(number) => {
            bank.remove(&id(number));
        }
        Operation::Relabel(number) => {
            bank.relabel(&id(number), Label::Fraud);
        }
        Operation::Search(seed, count) => return search(bank, &Draw(seed).near(seed as u32), count),
        Operation::Cluster => {
            bank.cluster();
        }
    }
    Vec::new()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn prop_found_rows_are_ranked_as_exact_ones_and_a_copy_finds_the_same(
        operations in proptest::collection::vec(operation(), 1..120),
        precision in select(vec![Precision::F32, Precision::F16, Precision::Int8]),
        probes in 1_u32..6,
        at in any::<prop::sample::Index>(),
    ) {
        let config = BankConfig { precision, recall_every: 3, ..config(700, 16, probes) };
        let mut bank = clustered(&config, 600);
        let mut other = None;
        let mut searches = 0;
        for (index, operation) in operations.iter().enumerate() {
            if index == at.index(operations.len()) {
                other = Some(copy(&bank, &config));
            }
            let found = apply(&mut bank, operation);
            if let Some(other) = &mut other {
                prop_assert_eq!(&apply(other, operation), &found);
            }
            if let Operation::Search(seed, count) = *operation {
                searches += 1;
                let rows: Vec<u32> = found.iter().map(|near| near.row).collect();
                let query = Draw(seed).near(seed as u32);
                prop_assert_eq!(&ranked(&bank, &rows, &query), &found);
                prop_assert_eq!(found.len(), count.min(bank.len()));
            }
        }
        let tally = bank.tally();
        prop_assert_eq!(tally.approximate + tally.exact_instead, searches);
        prop_assert_eq!(tally.compared, searches / 3);
        prop_assert_eq!(digest(&bank), digest(&other.unwrap()));
    }
}

#[test]
fn what_is_written_is_read_at_once_at_size() {
    let mut bank = clustered(&config(20_000, 128, 1), 20_000);
    let mut draw = Draw(5);
    for number in 0..500 {
        let embedding = draw.anywhere();
        let row = insert(&mut bank, 100_000 + number, &embedding);
        assert!(bank.is_approximate());
        assert_eq!(search(&mut bank, &embedding, 1)[0].row, row);
        assert!(bank.remove(&id(100_000 + number)));
        let left = search(&mut bank, &embedding, 10);
        assert!(left.iter().all(|near| near.similarity < 0.9999));
    }
    let tally = bank.tally();
    assert_eq!((tally.approximate, tally.evicted_full), (1_000, 1));
}

#[test]
fn recall_is_high_where_cases_are_alike() {
    let config = BankConfig {
        recall_every: 1,
        ..config(20_000, 128, 8)
    };
    let mut bank = clustered(&config, 20_000);
    assert_eq!(bank.recall(), None);
    let mut draw = Draw(9);
    for centre in 0..100 {
        search(&mut bank, &draw.near(centre), 10);
    }
    assert!(bank.recall().unwrap() > 0.95, "{:?}", bank.recall());
    assert_eq!((bank.tally().compared, bank.tally().recall_fell), (100, 0));
}

#[test]
fn exact_search_takes_over_below_the_floor_and_gives_way_above() {
    let config = BankConfig {
        recall_every: 2,
        ..config(20_000, 64, 1)
    };
    let mut bank = clustered(&config, 4_000);
    let mut draw = Draw(13);
    // Cases far from all centroids: their neighbours are spread over all cells.
    for number in 0..8_000 {
        let embedding = draw.anywhere();
        insert(&mut bank, 10_000 + number, &embedding);
    }
    let mut searches = 0;
    while bank.is_approximate() {
        search(&mut bank, &draw.anywhere(), 10);
        searches += 1;
        assert!(searches < 100, "recall is {:?}", bank.recall());
    }
    assert!(bank.recall().unwrap() < 0.95);
    assert_eq!(
        (bank.tally().recall_fell, bank.tally().approximate),
        (1, searches - 1)
    );
    let query = draw.anywhere();
    let rows: Vec<u32> = (0..bank.len() as u32).collect();
    assert_eq!(search(&mut bank, &query, 10), ranked(&bank, &rows, &query)[..10]);
    assert!(!bank.is_approximate());
    // What is far leaves; the rest is found by one cell again.
    for number in 0..8_000 {
        bank.remove(&id(10_000 + number));
    }
    let before = bank.tally();
    while !bank.is_approximate() {
        let centre = searches as u32;
        search(&mut bank, &draw.near(centre), 10);
        searches += 1;
        assert!(searches < 1_000, "recall is {:?}", bank.recall());
    }
    let tally = bank.tally();
    assert!(tally.exact_instead > before.exact_instead);
    assert_eq!(tally.recall_fell, 1);
    assert_eq!(tally.approximate + tally.exact_instead, searches + 1);
}

#[test]
fn too_few_rows_in_the_nearest_cells_are_no_answer() {
    let mut bank = clustered(&config(1_000, 32, 1), 1_000);
    assert_eq!(search(&mut bank, &Draw(1).near(1), 900).len(), 900);
    assert_eq!((bank.tally().approximate, bank.tally().exact_instead), (0, 1));
    assert!(bank.is_approximate());
}

#[test]
fn small_bank_is_searched_exactly_and_counts_nothing() {
    let mut bank = clustered(&config(1_000, 32, 1), 1_000);
    for number in 99..1_000 {
        assert!(bank.remove(&id(number)));
    }
    assert!(!bank.is_approximate());
    let query = Draw(1).near(1);
    let rows: Vec<u32> = (0..99).collect();
    assert_eq!(search(&mut bank, &query, 10), ranked(&bank, &rows, &query)[..10]);
    assert_eq!((bank.tally().approximate, bank.tally().exact_instead), (0, 0));
}

#[test]
fn copy_that_was_laid_out_may_be_exchanged() {
    let mut bank = Bank::new(&config(5_000, 64, 4), DIMENSIONS).unwrap();
    let mut draw = Draw(21);
    for number in 0..3_000 {
        insert(&mut bank, number, &draw.near(number));
    }
    assert!(!bank.is_approximate());
    let mut aside = bank.clone();
    assert!(aside.cluster() > 1);
    let meanwhile: Vec<Vec<f32>> = (3_000..3_100).map(|number| draw.near(number)).collect();
    for bank in [&mut bank, &mut aside] {
        for (number, embedding) in (3_000..).zip(&meanwhile) {
            insert(bank, number, embedding);
        }
    }
    std::mem::swap(&mut bank, &mut aside);
    assert!(bank.is_approximate());
    for number in 0..3_100 {
        assert_eq!(bank.find(&id(number)), aside.find(&id(number)));
    }
    assert_eq!(
        search(&mut bank, &meanwhile[5], 1),
        search(&mut aside, &meanwhile[5], 1)
    );
}

#[test]
fn bytes_of_a_removed_case_are_in_no_cell() {
    let mut bank = clustered(&config(2_000, 32, 2), 1_000);
    let secret = Draw(77).anywhere();
    insert(&mut bank, 5_000, &secret);
    bank.cluster();
    let contains = |bank: &Bank, bytes: &[u8]| {
        let mut regions = bank.regions().into_iter();
        regions.any(|region| region.bytes.windows(bytes.len()).any(|window| window == bytes))
    };
    let values = [secret[0], secret[1], secret[DIMENSIONS - 1]].map(f32::to_ne_bytes);
    assert!(values.iter().all(|value| contains(&bank, value)));
    assert!(bank.remove(&id(5_000)));
    assert!(!values.iter().any(|value| contains(&bank, value)));
}

#[test]
fn cases_that_are_all_alike_or_too_few_are_not_laid_out() {
    for (rows, is_alike) in [(500, true), (31, false)] {
        let mut bank = Bank::new(&config(1_000, 32, 1), DIMENSIONS).unwrap();
        let mut draw = Draw(8);
        let same = draw.anywhere();
        for number in 0..rows {
            let embedding = if is_alike { same.clone() } else { draw.anywhere() };
            insert(&mut bank, number, &embedding);
        }
        assert_eq!((bank.cluster(), bank.is_approximate()), (0, false));
        assert_eq!(search(&mut bank, &same, 5).len(), 5);
        assert_eq!(search(&mut bank, &same, 2_000).len(), rows as usize);
    }
}

#[test]
fn bank_that_asks_for_no_cells_has_none() {
    let exact = BankConfig {
        approximate_from_rows: 0,
        ..config(1_000, 32, 1)
    };
    let mut bank = Bank::new(&exact, DIMENSIONS).unwrap();
    let mut draw = Draw(2);
    for number in 0..1_000 {
        insert(&mut bank, number, &draw.near(number));
    }
    assert_eq!((bank.cluster(), bank.is_approximate()), (0, false));
}
