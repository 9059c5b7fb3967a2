//! The living bank beside a list that is searched by sorting it.

use pinion_runtime::state::{State, digest};
use pinion_schemas::ids::Id;
use pinion_score::bank::{
    Bank, BankConfig, Case, Inserted, Label, Neighbour, Precision, Refusal, Relabelled, Tally, WhenFull,
};
use proptest::prelude::*;
use proptest::sample::select;

const DIMENSIONS: usize = 18;
const SECOND_NS: i64 = 1_000_000_000;

fn id(number: u16) -> Id {
    Id::new(&format!("transaction-{number}-0000-1111-2222")).unwrap()
}

/// A direction of few different ones, so that many are equally similar.
fn direction(seed: u16, variety: u16) -> Vec<f32> {
    let mut state = u64::from(seed % variety) + 1;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..DIMENSIONS).map(|_| draw()).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

/// How directions lie: as they are drawn, or close to one, or to it and its opposite.
#[derive(Clone, Copy, Debug)]
struct Lie {
    /// Length of what is added to the one; none: it is not added.
    apart: Option<f32>,
    has_opposites: bool,
}

impl Lie {
    fn direction(self, seed: u16, variety: u16) -> Vec<f32> {
        let drawn = direction(seed, variety);
        let Some(apart) = self.apart else { return drawn };
        let centre = direction(1, 2);
        let values = centre
            .iter()
            .zip(&drawn)
            .map(|(centre, drawn)| centre + apart * drawn);
        let sign = if self.has_opposites && seed.is_multiple_of(3) {
            -1.0
        } else {
            1.0
        };
        let values: Vec<f32> = values.map(|value| sign * value).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter().map(|value| value / length).collect()
    }
}

fn lie() -> impl Strategy<Value = Lie> {
    let apart = select(vec![
        None,
        Some(1e-1),
        Some(1e-2),
        Some(1e-4),
        Some(1e-6),
        Some(0.0),
    ]);
    (apart, any::<bool>()).prop_map(|(apart, has_opposites)| Lie { apart, has_opposites })
}

#[derive(Clone, Debug)]
enum Operation {
    Insert {
        id: u16,
        entity: u64,
        is_fraud: bool,
        event_s: i64,
        seed: u16,
    },
    Relabel(u16, bool),
    Remove(u16),
    Expire(i64),
    Search(u16, usize),
    Cluster,
}

fn operation() -> impl Strategy<Value = Operation> {
    let insert = (0_u16..160, 0_u64..8, any::<bool>(), 0_i64..200, any::<u16>()).prop_map(
        |(id, entity, is_fraud, event_s, seed)| Operation::Insert {
            id,
            entity,
            is_fraud,
            event_s,
            seed,
        },
    );
    prop_oneof![
        12 => insert,
        2 => (0_u16..120, any::<bool>()).prop_map(|(id, is_fraud)| Operation::Relabel(id, is_fraud)),
        2 => (0_u16..120).prop_map(Operation::Remove),
        1 => (0_i64..240).prop_map(Operation::Expire),
        3 => (any::<u16>(), 1_usize..40).prop_map(|(seed, count)| Operation::Search(seed, count)),
        1 => Just(Operation::Cluster),
    ]
}

fn config() -> impl Strategy<Value = BankConfig> {
    let precision = select(vec![Precision::F32, Precision::F16, Precision::Int8]);
    let when_full = select(vec![WhenFull::Oldest, WhenFull::OldestOfFullestClass]);
    let caps = (0_u32..=20, 0_u32..=20, 0_u32..6);
    let caps = prop_oneof![caps, Just((0, 0, 0))];
    let cells = (select(vec![0_u32, 1, 20]), 2_u32..12);
    (
        precision,
        when_full,
        20_u32..120,
        caps,
        select(vec![0_u64, 50]),
        cells,
    )
        .prop_map(
            |(precision, when_full, rows_max, caps, age_s_max, cells)| BankConfig {
                rows_max,
                precision,
                fraud_rows_max: caps.0,
                genuine_rows_max: caps.1,
                entity_rows_max: caps.2,
                age_s_max,
                when_full,
                approximate_from_rows: cells.0,
                cells: cells.1,
                probes: cells.1, // All cells are scanned: what is found is what the list finds.
                recall_every: 3,
                recall_floor_permille: 950,
            },
        )
}

fn label(is_fraud: bool) -> Label {
    if is_fraud { Label::Fraud } else { Label::Genuine }
}

/// A case of the list.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    id: u16,
    entity: u64,
    label: Label,
    event_ns: i64,
    sequence: u64,
    embedding: Vec<f32>,
}

/// The bank as it is described: a list, in the order in which labels came.
struct List {
    config: BankConfig,
    cases: Vec<Listed>,
    sequence: u64,
    tally: Tally,
}

impl List {
    fn new(config: &BankConfig) -> Self {
        Self {
            config: config.clone(),
            cases: Vec::new(),
            sequence: 0,
            tally: Tally::default(),
        }
    }

    fn count(&self, label: Label) -> usize {
        self.cases.iter().filter(|case| case.label == label).count()
    }

    fn cap(&self, label: Label) -> usize {
        let cap = match label {
            Label::Fraud => self.config.fraud_rows_max,
            Label::Genuine => self.config.genuine_rows_max,
        };
        (if cap == 0 { self.config.rows_max } else { cap }) as usize
    }

    fn evict_oldest(&mut self, of: impl Fn(&Listed) -> bool) {
        let oldest = self.cases.iter().position(of).unwrap();
        self.cases.remove(oldest);
    }

    fn make_room_in_class(&mut self, label: Label) {
        if self.count(label) >= self.cap(label) {
            self.evict_oldest(|case| case.label == label);
            self.tally.evicted_class += 1;
        }
    }

    fn insert(&mut self, mut case: Listed) {
        let before = self.cases.len();
        self.cases.retain(|other| other.id != case.id);
        self.tally.replaced += (before - self.cases.len()) as u64;
        let kin = self.cases.iter().filter(|other| other.entity == case.entity);
        let (cap, entity) = (self.config.entity_rows_max as usize, case.entity);
        if entity != 0 && cap > 0 && kin.count() >= cap {
            self.evict_oldest(|other| other.entity == entity);
            self.tally.evicted_entity += 1;
        }
        self.make_room_in_class(case.label);
        if self.cases.len() == self.config.rows_max as usize {
            let used = |label| self.count(label) as f64 / self.cap(label) as f64;
            let fullest = label(used(Label::Fraud) > used(Label::Genuine));
            let by_class = self.config.when_full == WhenFull::OldestOfFullestClass;
            self.evict_oldest(|other| !by_class || other.label == fullest);
            self.tally.evicted_full += 1;
        }
        self.sequence += 1;
        case.sequence = self.sequence;
        self.cases.push(case);
        self.tally.inserted += 1;
    }

    fn relabel(&mut self, id: u16, label: Label) {
        let Some(at) = self.cases.iter().position(|case| case.id == id) else {
            self.tally.unknown += 1;
            return;
        };
        if self.cases[at].label == label {
            self.tally.confirmed += 1;
            return;
        }
        self.make_room_in_class(label);
        let at = self.cases.iter().position(|case| case.id == id).unwrap();
        let mut case = self.cases.remove(at);
        self.sequence += 1;
        (case.label, case.sequence) = (label, self.sequence);
        self.cases.push(case);
        self.tally.relabelled += 1;
    }

    fn remove(&mut self, id: u16) {
        let before = self.cases.len();
        self.cases.retain(|case| case.id != id);
        let is_there = self.cases.len() < before;
        self.tally.removed += u64::from(is_there);
        self.tally.unknown += u64::from(!is_there);
    }

    fn expire(&mut self, now_ns: i64) {
        let age_ns = self.config.age_s_max as i64 * SECOND_NS;
        let before = self.cases.len();
        self.cases
            .retain(|case| age_ns == 0 || case.event_ns >= now_ns - age_ns);
        self.tally.evicted_age += (before - self.cases.len()) as u64;
    }

    /// Ids and similarities, nearest first.
    fn search(&self, query: &[f32], count: usize) -> Vec<(Id, f32)> {
        let mut all: Vec<(f32, u64, Id)> = self
            .cases
            .iter()
            .map(|case| {
                let products = case.embedding.iter().zip(query).map(|(a, b)| b * a);
                (
                    products.fold(0.0, |sum, product| sum + product),
                    case.sequence,
                    id(case.id),
                )
            })
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        all.into_iter()
            .take(count)
            .map(|(similarity, _, id)| (id, similarity))
            .collect()
    }

    fn tally(&self) -> Tally {
        Tally {
            rows: self.cases.len() as u64,
            frauds: self.count(Label::Fraud) as u64,
            ..self.tally
        }
    }
}

fn search(bank: &mut Bank, query: &[f32], count: usize) -> Vec<(Id, f32)> {
    let mut nearest = vec![Neighbour::default(); count];
    let found = bank.search(query, &mut nearest);
    nearest[..found]
        .iter()
        .map(|neighbour| (bank.name(neighbour.row), neighbour.similarity))
        .collect()
}

/// Does the same to both; what is searched must be equal to the bit.
fn apply(bank: &mut Bank, list: &mut List, lie: Lie, operation: &Operation) -> Result<(), TestCaseError> {
    match *operation {
        Operation::Insert {
            id: number,
            entity,
            is_fraud,
            event_s,
            seed,
        } => {
            let (embedding, event_ns) = (lie.direction(seed, 50), event_s * SECOND_NS);
            let row = bank
                .insert(&Case {
                    id: id(number),
                    entity,
                    label: label(is_fraud),
                    weight: f32::from(seed),
                    event_ns,
                    embedding: &embedding,
                })
                .unwrap()
                .row();
            let mut kept = vec![0.0; DIMENSIONS];
            bank.embedding(row, &mut kept);
            prop_assert_eq!(
                (bank.weight(row), bank.entity(row), bank.event_ns(row)),
                (f32::from(seed), entity, event_ns)
            );
            list.insert(Listed {
                id: number,
                entity,
                label: label(is_fraud),
                event_ns,
                sequence: 0,
                embedding: kept,
            });
        }
        Operation::Relabel(number, is_fraud) => {
            bank.relabel(&id(number), label(is_fraud));
            list.relabel(number, label(is_fraud));
        }
        Operation::Remove(number) => {
            bank.remove(&id(number));
            list.remove(number);
        }
        Operation::Expire(now_s) => {
            bank.expire(now_s * SECOND_NS);
            list.expire(now_s * SECOND_NS);
        }
        Operation::Search(seed, count) => {
            let query = lie.direction(seed, 1000);
            prop_assert_eq!(search(bank, &query, count), list.search(&query, count));
        }
        Operation::Cluster => {
            bank.cluster();
            list.tally.clustered += 1;
        }
    }
    let tally = bank.tally();
    prop_assert!(bank.recall().is_none_or(|recall| recall == 1.0));
    prop_assert_eq!((tally.exact_instead, tally.recall_fell), (0, 0));
    let expected = Tally {
        approximate: tally.approximate,
        compared: tally.compared,
        ..list.tally()
    };
    prop_assert_eq!(tally, expected);
    Ok(())
}

fn same(bank: &Bank, list: &List) -> Result<(), TestCaseError> {
    for case in &list.cases {
        let row = bank.find(&id(case.id));
        prop_assert!(row.is_some(), "{} is not there", case.id);
        let row = row.unwrap();
        let mut kept = vec![0.0; DIMENSIONS];
        bank.embedding(row, &mut kept);
        prop_assert_eq!(&kept, &case.embedding);
        prop_assert_eq!(
            (bank.is_fraud(row), bank.sequence(row)),
            (case.label == Label::Fraud, case.sequence)
        );
    }
    Ok(())
}

fn copy(from: &Bank, config: &BankConfig) -> Bank {
    let mut to = Bank::new(config, from.dimensions()).unwrap();
    for (region, target) in from.regions().iter().zip(to.regions_mut()) {
        assert_eq!((region.name, region.index), (target.name, target.index));
        target.bytes.copy_from_slice(region.bytes);
    }
    to
}

proptest! {
    #[test]
    fn prop_bank_equals_a_sorted_list(
        config in config(),
        lie in lie(),
        operations in proptest::collection::vec(operation(), 1..300),
    ) {
        let mut bank = Bank::new(&config, DIMENSIONS).unwrap();
        let mut list = List::new(&config);
        for operation in &operations {
            apply(&mut bank, &mut list, lie, operation)?;
        }
        same(&bank, &list)?;
    }

    #[test]
    fn prop_copy_of_the_regions_goes_on_alike(
        config in config(),
        lie in lie(),
        before in proptest::collection::vec(operation(), 1..150),
        after in proptest::collection::vec(operation(), 1..100),
    ) {
        let mut bank = Bank::new(&config, DIMENSIONS).unwrap();
        let mut list = List::new(&config);
        for operation in &before {
            apply(&mut bank, &mut list, lie, operation)?;
        }
        let mut other = copy(&bank, &config);
        prop_assert_eq!(digest(&bank), digest(&other));
        let mut same_list = List { config: list.config.clone(), cases: list.cases.clone(), ..list };
        for operation in &after {
            apply(&mut bank, &mut list, lie, operation)?;
            apply(&mut other, &mut same_list, lie, operation)?;
        }
        prop_assert_eq!(digest(&bank), digest(&other));
    }

    #[test]
    fn prop_nothing_is_left_of_cases_that_left(
        config in config(),
        lie in lie(),
        operations in proptest::collection::vec(operation(), 1..200),
    ) {
        let mut bank = Bank::new(&config, DIMENSIONS).unwrap();
        let mut list = List::new(&config);
        for operation in &operations {
            apply(&mut bank, &mut list, lie, operation)?;
        }
        for case in &list.cases {
            prop_assert!(bank.remove(&id(case.id)));
        }
        for region in bank.regions() {
            let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
            let is_clean = match region.name {
                "bank account" | "bank extent" => true,
                // Means of many cases, not one of them.
                "bank centroid codes" | "bank centroid tags" | "bank centroid values" => true,
                // Row by row, the next one that nobody has stands where the place would.
                "bank rows" => region.bytes.chunks(96).all(|row| is_zero(&row[..32]) && is_zero(&row[36..])),
                _ => is_zero(region.bytes),
            };
            prop_assert!(is_clean, "{} still holds something", region.name);
        }
    }
}

/// A bank with `rows` cases in clusters, and directions near them.
fn clustered(rows: u32, dimensions: usize, precision: Precision) -> (Bank, Vec<Vec<f32>>) {
    clusters(rows, dimensions, precision, 0.08)
}

/// As [`clustered`], so far apart in each dimension; every second cluster is the opposite of the one before.
fn clusters(rows: u32, dimensions: usize, precision: Precision, apart: f32) -> (Bank, Vec<Vec<f32>>) {
    let config = BankConfig {
        rows_max: rows,
        precision,
        ..BankConfig::default()
    };
    let mut bank = Bank::new(&config, dimensions).unwrap();
    let mut state = 7_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut near = |centre: Option<&Vec<f32>>, spread: f32| {
        let noise: Vec<f32> = (0..dimensions).map(|_| spread * draw()).collect();
        let values: Vec<f32> = match centre {
            Some(centre) => centre.iter().zip(&noise).map(|(a, b)| a + b).collect(),
            None => noise,
        };
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter().map(|value| value / length).collect::<Vec<f32>>()
    };
    let mut centres: Vec<Vec<f32>> = Vec::new();
    for centre in 0..20 {
        let fresh = near(None, 1.0);
        let opposite = |centre: &Vec<f32>| centre.iter().map(|value| -value).collect();
        let centre: usize = centre;
        centres.push(if centre.is_multiple_of(2) {
            fresh
        } else {
            opposite(&centres[centre - 1])
        });
    }
    for row in 0..rows {
        let embedding = near(Some(&centres[row as usize * 7 % 20]), apart);
        bank.insert(&Case {
            id: Id::new(&format!("{row}")).unwrap(),
            entity: 0,
            label: label(row % 3 == 0),
            weight: 1.0,
            event_ns: 0,
            embedding: &embedding,
        })
        .unwrap();
    }
    let queries = (0..20)
        .map(|query| near(Some(&centres[query]), apart * 0.6))
        .collect();
    (bank, queries)
}

/// Recall is 1 because the outcome is the sorted list's, to the bit.
#[track_caller]
fn check_exact(rows: u32, dimensions: usize, precision: Precision, count: usize) {
    check_exact_among(clustered(rows, dimensions, precision), count);
}

#[track_caller]
fn check_exact_among((mut bank, queries): (Bank, Vec<Vec<f32>>), count: usize) {
    let (rows, dimensions) = (bank.len() as u32, bank.dimensions());
    let mut embedding = vec![0.0; dimensions];
    for query in queries {
        let mut nearest = vec![Neighbour::default(); count];
        assert_eq!(bank.search(&query, &mut nearest), count.min(rows as usize));
        let mut all: Vec<Neighbour> = (0..rows)
            .map(|row| {
                bank.embedding(row, &mut embedding);
                let products = query.iter().zip(&embedding).map(|(a, b)| a * b);
                let similarity = products.fold(0.0, |sum, product| sum + product);
                Neighbour { row, similarity }
            })
            .collect();
        all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(b.row.cmp(&a.row)));
        all.truncate(count);
        assert_eq!(nearest[..all.len()], all);
    }
}

#[test]
fn search_is_exact_at_every_size() {
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        for (rows, dimensions, count) in [
            (1, 16, 1),
            (5, 16, 8),
            (100, 17, 64),
            (4_000, 64, 256),
            (20_000, 64, 10),
        ] {
            check_exact(rows, dimensions, precision, count);
        }
    }
    check_exact(70_000, 128, Precision::F32, 64);
    check_exact(300_000, 4, Precision::F16, 10);
}

/// In banks that are compared block by block, and in one that is too large for it.
#[test]
fn search_is_exact_where_rows_lie_close_together() {
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        for apart in [1e-2, 1e-3, 1e-4, 1e-6, 0.0] {
            for (rows, dimensions) in [(300, 3), (1_200, 16), (6_000, 64)] {
                check_exact_among(clusters(rows, dimensions, precision, apart), 10);
                check_exact_among(clusters(rows, dimensions, precision, apart), 64);
            }
        }
    }
    check_exact_among(clusters(40_000, 8, Precision::F32, 1e-3), 64);
}

fn case<'a>(name: &str, embedding: &'a [f32]) -> Case<'a> {
    Case {
        id: Id::new(name).unwrap(),
        entity: 1,
        label: Label::Fraud,
        weight: 1.0,
        event_ns: 5 * SECOND_NS,
        embedding,
    }
}

#[test]
fn insert_is_seen_by_the_next_search() {
    let (mut bank, queries) = clustered(1_000, 64, Precision::F32);
    for (number, query) in queries.iter().enumerate() {
        let name = format!("fresh-{number}");
        let Inserted::New(row) = bank.insert(&case(&name, query)).unwrap() else {
            panic!("{name} is new");
        };
        let mut nearest = [Neighbour::default()];
        bank.search(query, &mut nearest);
        assert_eq!((nearest[0].row, bank.name(row).as_str()), (row, name.as_str()));
    }
}

#[test]
fn case_out_of_range_is_refused_and_counted() {
    let mut bank = Bank::new(&BankConfig::default(), 2).unwrap();
    let good = [0.6, 0.8];
    let good = case("a", &good);
    let wrong = [
        (Case { id: Id::NONE, ..good }, Refusal::NoId),
        (Case { weight: -1.0, ..good }, Refusal::Weight(-1.0)),
        (
            Case {
                embedding: &[f32::INFINITY, 0.0],
                ..good
            },
            Refusal::NotFinite,
        ),
        (
            Case {
                embedding: &[3.0, 4.0],
                ..good
            },
            Refusal::Length(5.0),
        ),
    ];
    for (case, expected) in wrong {
        assert_eq!(bank.insert(&case), Err(expected));
    }
    assert_eq!((bank.len(), bank.tally().refused), (0, 4));
    assert_eq!(bank.insert(&good), Ok(Inserted::New(0)));
    assert_eq!(bank.insert(&good), Ok(Inserted::Replaced(0)));
    let mut nearest = [Neighbour::default(); 2];
    assert_eq!(bank.search(&[f32::NAN, 0.0], &mut nearest), 0);
    assert_eq!(bank.search(&[0.0, 0.0], &mut nearest), 1);
}

#[test]
fn label_that_is_reversed_counts_at_once() {
    let mut bank = Bank::new(&BankConfig::default(), 2).unwrap();
    let row = bank.insert(&case("a", &[0.6, 0.8])).unwrap().row();
    let a = Id::new("a").unwrap();
    assert_eq!(bank.relabel(&a, Label::Fraud), Relabelled::Confirmed);
    assert_eq!(bank.relabel(&a, Label::Genuine), Relabelled::Reversed);
    assert_eq!((bank.is_fraud(row), bank.tally().frauds), (false, 0));
    assert_eq!(
        bank.relabel(&Id::new("b").unwrap(), Label::Fraud),
        Relabelled::Unknown
    );
}

#[test]
fn one_entity_cannot_flood_the_bank() {
    let config = BankConfig {
        rows_max: 100,
        entity_rows_max: 5,
        ..BankConfig::default()
    };
    let mut bank = Bank::new(&config, 2).unwrap();
    for number in 0..1_000 {
        bank.insert(&case(&format!("attack-{number}"), &[0.6, 0.8]))
            .unwrap();
    }
    assert_eq!((bank.len(), bank.tally().evicted_entity), (5, 995));
    assert!(bank.find(&Id::new("attack-995").unwrap()).is_some());
}

#[test]
fn rare_frauds_stay_in_a_full_bank() {
    let config = BankConfig {
        rows_max: 10,
        ..BankConfig::default()
    };
    let mut bank = Bank::new(&config, 2).unwrap();
    bank.insert(&case("fraud", &[0.6, 0.8])).unwrap();
    for number in 0..100 {
        let genuine = Case {
            label: Label::Genuine,
            entity: 0,
            ..case(&format!("genuine-{number}"), &[0.8, 0.6])
        };
        bank.insert(&genuine).unwrap();
    }
    assert_eq!(
        (bank.len(), bank.tally().frauds, bank.tally().evicted_full),
        (10, 1, 91)
    );
}

#[test]
fn old_cases_leave_a_few_at_a_time() {
    let config = BankConfig {
        age_s_max: 10,
        ..BankConfig::default()
    };
    let mut bank = Bank::new(&config, 2).unwrap();
    for number in 0..20_i64 {
        let name = format!("{number}");
        let aged = Case {
            event_ns: (number * 7 % 20) * SECOND_NS,
            ..case(&name, &[0.6, 0.8])
        };
        bank.insert(&aged).unwrap();
    }
    assert_eq!(bank.expire_some(15 * SECOND_NS, 3), 3);
    assert_eq!(bank.expire(15 * SECOND_NS), 2);
    assert!((0..20).all(|number: i64| {
        let is_there = bank.find(&Id::new(&format!("{number}")).unwrap()).is_some();
        is_there == (number * 7 % 20 >= 5)
    }));
}

/// Bytes that stand nowhere else.
const SECRET: [f32; 16] = [
    0.312_5, -0.187_5, 0.25, -0.125, 0.437_5, 0.062_5, -0.375, 0.281_25, 0.218_75, -0.156_25, 0.093_75,
    0.343_75, -0.031_25, 0.25, 0.187_5, 0.281_25,
];

fn contains(bank: &Bank, bytes: &[u8]) -> bool {
    let mut regions = bank.regions().into_iter();
    regions.any(|region| region.bytes.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn bytes_of_a_removed_case_are_gone_from_memory() {
    let length = SECRET.iter().map(|value| value * value).sum::<f32>().sqrt();
    let secret = SECRET.map(|value| value / length);
    let values = secret.map(f32::to_ne_bytes);
    for others in [0, 1, 40] {
        let config = BankConfig {
            rows_max: 64,
            entity_rows_max: 0,
            ..BankConfig::default()
        };
        let mut bank = Bank::new(&config, 16).unwrap();
        let other = [0.25; 16];
        let fill = |bank: &mut Bank, from: u32, to: u32| {
            (from..to).for_each(|number| {
                bank.insert(&case(&format!("other-{number}"), &other)).unwrap();
            });
        };
        fill(&mut bank, 0, others / 2);
        let name = "c0ffee00-dead-beef-0000-123456789abc";
        let secret = Case {
            entity: 0x1234_5678_9abc_def0,
            ..case(name, &secret)
        };
        bank.insert(&secret).unwrap();
        fill(&mut bank, others / 2, others);
        let entity = secret.entity.to_ne_bytes();
        let all = values.iter().map(<[u8; 4]>::as_slice);
        for what in all.clone().chain([name.as_bytes(), &entity]) {
            assert!(contains(&bank, what));
        }
        assert!(bank.remove(&secret.id));
        for what in all.chain([name.as_bytes(), &entity]) {
            assert!(!contains(&bank, what), "beside {others} others");
        }
        assert_eq!(bank.len(), others as usize);
    }
}

#[test]
fn dimensions_out_of_range_are_refused() {
    for dimensions in [0, 129] {
        let error = Bank::new(&BankConfig::default(), dimensions).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("encoder.dimensions is {dimensions}, expected 1 to 128")
        );
    }
}

/// The state after the same operations is the same bytes on every machine.
#[test]
fn golden_state_does_not_change_with_the_build() {
    let found = [Precision::F32, Precision::F16, Precision::Int8].map(|precision| {
        let config = BankConfig {
            rows_max: 50,
            age_s_max: 40,
            fraud_rows_max: 12,
            precision,
            ..BankConfig::default()
        };
        let mut bank = Bank::new(&config, DIMENSIONS).unwrap();
        for number in 0..200_u16 {
            let embedding = direction(number, 77);
            let fresh = Case {
                id: id(number % 90),
                entity: u64::from(number % 5),
                label: label(number % 3 == 0),
                event_ns: i64::from(number * 13 % 100) * SECOND_NS,
                ..case("-", &embedding)
            };
            bank.insert(&fresh).unwrap();
            bank.relabel(&id(number * 7 % 90), label(number % 2 == 0));
            bank.remove(&id(number * 11 % 90));
            bank.expire(i64::from(number) * SECOND_NS / 2);
        }
        let hash = digest(&bank);
        u64::from_be_bytes(hash[..8].try_into().unwrap())
    });
    assert_eq!(found, GOLDEN_STATES, "{found:#x?}");
}

/// First bytes of the digest, by precision.
const GOLDEN_STATES: [u64; 3] = [
    0x1843_2be5_7a41_9c6e,
    0xd3a5_d0d0_c97f_4413,
    0xfaa3_96e0_31f1_f109,
];
