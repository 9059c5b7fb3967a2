//! The importers on the real files beside the checkout: counts as their description says, and books as a
//! straightforward reference keeps them. Skipped with a note where the files are absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinion_replay::import::handbook_features::FeatureRows;
use pinion_replay::import::reference::{Applied, ReferenceBooks};
use pinion_replay::import::source::{FLAG_MORE, FLAG_SNAPSHOT};
use pinion_replay::import::time::{DAY_NS, parse_time};
use pinion_replay::import::{
    EventClock, EventSource, Format, ImportOptions, OnError, SourceEvent, Tally, detect, open,
};
use pinion_schemas::encode::Event;
use pinion_schemas::wire::BookAction;

/// The file, or `None` and a note.
fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

fn opened(path: &Path) -> Box<dyn EventSource> {
    open(path, Format::Auto, &ImportOptions::default()).unwrap()
}

fn opened_leniently(path: &Path) -> Box<dyn EventSource> {
    open(
        path,
        Format::Auto,
        &ImportOptions {
            on_error: OnError::Skip,
            ..ImportOptions::default()
        },
    )
    .unwrap()
}

fn for_each(source: &mut dyn EventSource, mut check: impl FnMut(&SourceEvent)) {
    while let Some(event) = source.next().unwrap() {
        check(&event);
    }
}

/// Events by kind, and whether their times never step back.
fn count_kinds(source: &mut dyn EventSource) -> (BTreeMap<&'static str, u64>, bool) {
    let mut counts = BTreeMap::new();
    let (mut last_ns, mut is_ordered) = (i64::MIN, true);
    for_each(source, |event| {
        *counts.entry(kind_of(&event.event)).or_default() += 1;
        is_ordered &= event.event.event_ns() >= last_ns;
        last_ns = event.event.event_ns();
    });
    (counts, is_ordered)
}

fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::Quote(_) => "quote",
        Event::Trade(_) => "trade",
        Event::BookLevel(_) => "level",
        Event::BookOrder(event) => match event.action {
            BookAction::Add => "add",
            BookAction::Cancel => "cancel",
            BookAction::Modify => "modify",
            BookAction::Fill => "fill",
            BookAction::Clear => "clear",
            _ => "none",
        },
        Event::Transaction(_) => "transaction",
        Event::Label(_) => "label",
        Event::AccountUpdate(_) => "account update",
        Event::OwnOrder(_) => "own order",
        Event::OwnFill(_) => "own fill",
    }
}

#[track_caller]
fn check_counts(name: &str, format: Format, records: u64, expected: &[(&'static str, u64)]) {
    let Some(path) = shared(name) else { return };
    assert_eq!(detect(&path).unwrap(), format);
    let mut source = opened(&path);
    let (counts, is_ordered) = count_kinds(&mut *source);
    assert_eq!(counts, expected.iter().copied().collect());
    assert_eq!(source.tally().records, records);
    assert_eq!(
        source.tally().events,
        expected.iter().map(|(_, count)| count).sum::<u64>()
    );
    assert!(is_ordered);
}

#[test]
fn handbook_parquet_gives_every_transaction_and_a_label_per_fraud() {
    let expected = [("transaction", 1_754_155), ("label", 14_681)];
    check_counts(
        "payments/handbook_raw.parquet",
        Format::HandbookParquet,
        1_754_155,
        &expected,
    );
}

#[test]
fn handbook_csv_gives_every_transaction() {
    let Some(path) = shared("payments/mini_raw.csv") else {
        return;
    };
    let (counts, is_ordered) = count_kinds(&mut *opened(&path));
    assert_eq!(counts["transaction"], 14_076);
    assert!(is_ordered);
}

#[test]
fn card_file_gives_every_transaction_and_a_label_per_fraud() {
    let expected = [("transaction", 284_807), ("label", 492)];
    check_counts(
        "card/ulb_creditcard.parquet",
        Format::CardParquet,
        284_807,
        &expected,
    );
}

#[test]
fn databento_file_gives_every_record() {
    let expected = [
        ("add", 29_216),
        ("cancel", 17_999),
        ("modify", 12_233),
        ("fill", 6_371),
        ("trade", 2_973),
    ];
    check_counts(
        "market/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
        Format::Databento,
        68_792,
        &expected,
    );
}

#[test]
fn iex_capture_gives_every_level_and_trade() {
    let Some(path) = shared("market/iex_deep10_20170425.pcap.gz") else {
        return;
    };
    assert_eq!(detect(&path).unwrap(), Format::Iex);
    let mut source = opened_leniently(&path);
    let (counts, _) = count_kinds(&mut *source);
    // The recording was stopped within the last of the 27,580 levels.
    assert_eq!(counts, [("level", 27_580 - 1), ("trade", 83_343)].into());
    assert_eq!(
        source.tally(),
        Tally {
            records: 392_011,
            events: 27_580 - 1 + 83_343,
            skipped: 1
        }
    );
    let cut = source.first_skipped().unwrap().to_string();
    assert!(
        cut.contains("offset 22195748: found a message that does not fit its packet"),
        "{cut}"
    );
}

#[test]
fn itch_file_gives_every_message() {
    let Some(path) = shared("market/itch50_artificial.gz") else {
        return;
    };
    assert_eq!(detect(&path).unwrap(), Format::Itch);
    let mut source = opened_leniently(&path);
    let (counts, is_ordered) = count_kinds(&mut *source);
    assert!(is_ordered);
    assert_eq!(source.tally().records, 12_012);
    assert_eq!(
        source.tally().skipped,
        117,
        "messages of orders that the file never added"
    );
    assert_eq!(counts["add"], 5_000 + 10);
    assert_eq!(counts["trade"], 5_000 + 180);
}

#[test]
fn lobster_file_gives_every_line() {
    // 998 lines and one without its end.
    let expected = [
        ("add", 471),
        ("cancel", 369 + 98),
        ("fill", 98),
        ("trade", 98 + 61),
    ];
    check_counts(
        "market/AAPL_2012-06-21_message_10_first_rows.csv",
        Format::Lobster,
        999,
        &expected,
    );
}

#[test]
fn features_of_both_forms_are_the_same_rows() {
    let (Some(whole), Some(mini)) = (
        shared("payments/handbook_features.parquet"),
        shared("payments/mini_features.csv"),
    ) else {
        return;
    };
    let mut mini_rows = FeatureRows::open(&mini).unwrap();
    let mut wanted = mini_rows.next_row().unwrap();
    let mut rows = FeatureRows::open(&whole).unwrap();
    let (mut row_count, mut same_count) = (0, 0);
    while let Some(row) = rows.next_row().unwrap() {
        row_count += 1;
        if let Some(mini_row) = wanted.filter(|wanted| wanted.transaction_id == row.transaction_id) {
            let customer_part = 0..8;
            let close = |feature: usize| (mini_row.values[feature] - row.values[feature]).abs() < 1e-9;
            assert!(customer_part.clone().all(close), "{mini_row:?} {row:?}");
            same_count += 1;
            wanted = mini_rows.next_row().unwrap();
        }
    }
    assert_eq!((row_count, same_count), (1_754_155, 14_076));
}

/// hftbacktest, whose count of this file is 491,973, counts a message twice when its order by the venue's clock
/// differs from its order of arrival, and clears each side of a snapshot by itself.
fn count_like_hftbacktest(pairs: &[(i64, i64)]) -> usize {
    let mut by_venue = pairs.to_vec();
    by_venue.sort_by_key(|(venue_ns, _)| *venue_ns);
    let (mut venue, mut local, mut count) = (0, 0, 0);
    while venue < by_venue.len() || local < pairs.len() {
        match (by_venue.get(venue), pairs.get(local)) {
            (Some(first), Some(second)) if first == second => (venue, local) = (venue + 1, local + 1),
            (Some(first), Some(second)) if first < second => venue += 1,
            (Some(_), None) => venue += 1,
            _ => local += 1,
        }
        count += 1;
    }
    count
}

#[test]
fn binance_futures_file_gives_every_level_and_trade() {
    let Some(path) = shared("market/binance_usdm_btcusdt_20240808.gz") else {
        return;
    };
    let venue_options = ImportOptions {
        clock: EventClock::Venue,
        ..ImportOptions::default()
    };
    let mut by_venue = open(&path, Format::Auto, &venue_options).unwrap();
    let mut pairs = Vec::new();
    let (mut clear_count, mut snapshot_count, mut level_count, mut trade_count, mut quote_count) =
        (0, 0, 0, 0, 0);
    for_each(&mut *opened(&path), |event| {
        let venue_ns = by_venue.next().unwrap().unwrap().event.event_ns();
        let pair = (venue_ns, event.event.event_ns());
        match &event.event {
            Event::Quote(_) => quote_count += 1,
            Event::Trade(_) => trade_count += 1,
            Event::BookLevel(level) if level.action == BookAction::Clear => {
                clear_count += 1;
                pairs.push(pair);
            }
            Event::BookLevel(_) if event.flags & FLAG_SNAPSHOT != 0 => snapshot_count += 1,
            _ => level_count += 1,
        }
        let is_of_message = !matches!(event.event, Event::Quote(_));
        if is_of_message && (event.flags & FLAG_SNAPSHOT == 0 || clear_count + snapshot_count <= 2_001) {
            pairs.push(pair);
        }
    });
    assert_eq!(
        (level_count, trade_count, quote_count, clear_count),
        (443_521, 21_313, 66_089, 1)
    );
    assert!(snapshot_count > 2_000, "{snapshot_count}");
    assert_eq!(count_like_hftbacktest(&pairs), 491_973);
}

#[test]
fn binance_spot_file_gives_every_level_and_trade() {
    let Some(path) = shared("market/binance_spot_btcusdt_20240808.gz") else {
        return;
    };
    let (counts, is_ordered) = count_kinds(&mut *opened(&path));
    assert_eq!((counts["trade"], counts["quote"]), (9_757, 28_040));
    assert!(counts["level"] > 124_090 + 2_001);
    assert!(is_ordered);
}

/// After each venue message: checks the books and gives how many messages left one crossed.
fn check_books(path: &Path, mut is_allowed: impl FnMut(&Event) -> bool) -> (u64, ReferenceBooks) {
    let mut books = ReferenceBooks::default();
    let mut crossed_count = 0;
    for_each(&mut *opened_leniently(path), |event| {
        let Some((applied, book)) = books.apply(&event.event) else {
            return;
        };
        assert_eq!(applied, Applied::Yes, "{event:?}");
        if event.flags & FLAG_MORE == 0 && book.is_crossed() {
            crossed_count += 1;
            assert!(is_allowed(&event.event), "{event:?}");
        }
    });
    (crossed_count, books)
}

/// Best bid and best ask price of a book or a quote.
type Best = (i64, i64);

#[test]
fn binance_books_agree_with_the_tickers_of_the_same_update() {
    for name in [
        "market/binance_usdm_btcusdt_20240808.gz",
        "market/binance_spot_btcusdt_20240808.gz",
    ] {
        let Some(path) = shared(name) else { continue };
        let mut books = ReferenceBooks::default();
        let (mut of_books, mut of_quotes) = (BTreeMap::<u64, Best>::new(), BTreeMap::<u64, Best>::new());
        let mut is_synchronised = false;
        for_each(&mut *opened(&path), |event| {
            is_synchronised |= event.flags & FLAG_SNAPSHOT != 0;
            match &event.event {
                Event::Quote(quote) => {
                    of_quotes.insert(quote.venue_sequence, (quote.bid_price, quote.ask_price));
                }
                Event::BookLevel(level) => {
                    let (applied, book) = books.apply(&event.event).unwrap();
                    assert_eq!(applied, Applied::Yes);
                    if is_synchronised && event.flags & FLAG_MORE == 0 {
                        assert!(!book.is_crossed() && !book.is_locked(), "{event:?}");
                        let best = (book.best_bid().unwrap().0, book.best_ask().unwrap().0);
                        of_books.insert(level.venue_sequence, best);
                    }
                }
                _ => {}
            }
        });
        let both: Vec<_> = of_books
            .iter()
            .filter_map(|(update, best)| Some((best, of_quotes.get(update)?)))
            .collect();
        println!(
            "{name}: {} of {} updates have a ticker",
            both.len(),
            of_books.len()
        );
        assert!(!both.is_empty());
        assert!(both.iter().all(|(of_book, of_quote)| of_book == of_quote));
    }
}

#[test]
fn databento_book_is_crossed_only_before_the_open() {
    let Some(path) = shared("market/esh4-glbx-mdp3-20231225.mbo.dbn.zst") else {
        return;
    };
    // The first crossing order comes at 22:39:55, the next message at 22:44; trading opens at 23:00.
    let pre_open = parse_time("2023-12-25 22:39:55").unwrap()..parse_time("2023-12-25 23:00:00").unwrap();
    let mut after_count = 0;
    let (crossed_count, books) = check_books(&path, |event| {
        after_count += u64::from(!pre_open.contains(&event.event_ns()));
        after_count <= 1
    });
    assert_eq!((crossed_count, after_count), (891, 1));
    let (instrument, book) = books.iter().next().unwrap();
    assert_eq!(instrument.as_str(), "ESH4");
    assert!(book.order_count() > 0);
}

#[test]
fn itch_books_know_every_order() {
    let Some(path) = shared("market/itch50_artificial.gz") else {
        return;
    };
    let (crossed_count, books) = check_books(&path, |_| true);
    println!(
        "{} instruments, crossed after {crossed_count} messages",
        books.iter().count()
    );
}

#[test]
fn label_delay_is_below_the_published_seven_days() {
    assert!(ImportOptions::default().label_delay_ns < 7 * DAY_NS);
}
