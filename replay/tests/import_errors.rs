//! What the importers say of files that are not as they should be, and how they go on.

use std::io::Write as _;
use std::path::Path;

use pinion_replay::import::{EventSource, Format, ImportOptions, OnError, open};

const PAYMENTS: &str = "kind,event_time,transaction_id,customer,terminal,account,amount,currency\n";
const GOOD: &str = "transaction,2018-04-01T00:00:31Z,t1,c1,p1,,57.16,978\n";

fn file_of(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The first error, without the folder's name.
fn first_error(path: &Path, format: Format) -> String {
    let error = match open(path, format, &ImportOptions::default()) {
        Err(error) => error,
        Ok(mut source) => loop {
            match source.next() {
                Err(error) => break error,
                Ok(Some(_)) => {}
                Ok(None) => return "no error".to_owned(),
            }
        },
    };
    error.to_string().replace(
        &path.display().to_string(),
        path.file_name().unwrap().to_str().unwrap(),
    )
}

#[track_caller]
fn check(name: &str, content: &[u8], format: Format, expected: &str) {
    let (_folder, path) = file_of(name, content);
    assert_eq!(first_error(&path, format), expected);
}

#[track_caller]
fn check_row(row: &str, expected: &str) {
    check(
        "day.csv",
        format!("{PAYMENTS}{GOOD}{row}\n").as_bytes(),
        Format::Auto,
        expected,
    );
}

#[test]
fn bad_values_are_named_with_their_line() {
    check_row(
        "transaction,2018-04-01T00:00:32Z,t2,c1,p1,,1.005,978",
        "day.csv, line 3: found amount \"1.005\", expected an amount with at most 2 decimals",
    );
    check_row(
        "transaction,yesterday,t2,c1,p1,,1,978",
        "day.csv, line 3: found event_time \"yesterday\", expected a time like 2018-04-01T00:00:31Z",
    );
    check_row(
        "transaction,2018-04-01T00:00:32Z,,c1,p1,,1,978",
        "day.csv, line 3: found transaction_id \"\", expected 1 to 36 printable characters without spaces",
    );
    check_row(
        "payment,,,,,,,",
        "day.csv, line 3: found kind \"payment\", expected transaction, label or account-update",
    );
    check_row("transaction,1", "day.csv, line 3: found 2 columns, expected 8");
}

#[test]
fn wrong_columns_are_named() {
    check(
        "day.csv",
        b"kind,event_time,customer\n",
        Format::PaymentsCsv,
        "day.csv, line 1: found columns \"kind,event_time,customer\", expected column transaction_id",
    );
    let heading = PAYMENTS.replace("currency", "currency,colour");
    let (_folder, path) = file_of("day.csv", heading.as_bytes());
    let error = first_error(&path, Format::Auto);
    assert!(
        error.starts_with("day.csv, line 1: found column \"colour\", expected only kind, "),
        "{error}"
    );
}

#[test]
fn unknown_files_are_refused_with_the_formats_that_are_read() {
    let (_folder, path) = file_of("notes.txt", b"hello\n");
    let error = first_error(&path, Format::Auto);
    assert!(
        error.starts_with("notes.txt: found \"hello\", expected a format of auto, payments-csv, "),
        "{error}"
    );
    let (_folder, path) = file_of("empty", b"");
    assert!(first_error(&path, Format::Auto).starts_with("empty: found \"\", expected a format of"));
    let absent = first_error(Path::new("absent.csv"), Format::Auto);
    assert!(absent.starts_with("absent.csv: cannot be read: "), "{absent}");
}

#[test]
fn broken_binance_lines_are_named() {
    let ticker = |price: &str| {
        format!(
            "1 {{\"stream\":\"x@bookTicker\",\"data\":{{\"u\":1,\"s\":\"X\",\"b\":\"{price}\",\"B\":\"1\",\"a\":\"2\",\"A\":\"1\"}}}}\n"
        )
    };
    let content = format!("{}{}", ticker("1.5"), ticker("1e5"));
    let expected = "x.gz, line 2: found \"1e5\", expected a decimal number";
    check("x.gz", &gzip(content.as_bytes()), Format::Binance, expected);
    let snapshot = b"1 {\"lastUpdateId\":1,\"bids\":[],\"asks\":[]}\n";
    let expected =
        "x, line 1: found a snapshot, expected a message of a stream before it, which names the instrument";
    check("x", snapshot, Format::Binance, expected);
}

#[test]
fn broken_lobster_lines_are_named() {
    let line = b"1.5,1,7,18,100,1\n1.5,9,7,18,100,1\n";
    check(
        "A_2012-06-21_x.csv",
        line,
        Format::Auto,
        "A_2012-06-21_x.csv, line 2: found type 9, expected a type from 1 to 7",
    );
    let line = b"1.5,1,7,18,100,2\n";
    check(
        "A.csv",
        line,
        Format::Lobster,
        "A.csv, line 1: found direction \"2\", expected 1 or -1",
    );
}

#[test]
fn broken_itch_messages_are_named_with_their_offset() {
    let mut system = vec![0, 0, b'S'];
    system.extend([0; 11]);
    let mut unknown = system.clone();
    unknown.extend([0, 0, b'?']);
    let expected = "x.itch, offset 14: found message type '?', expected a type of ITCH 5.0";
    check("x.itch", &unknown, Format::Auto, expected);
    let mut deletes = system.clone();
    deletes.extend([0, 19, b'D']);
    deletes.extend([0; 18]);
    let expected = "x.itch, offset 14: found order 0, expected an order that is open";
    check("x.itch", &deletes, Format::Auto, expected);
    let cut = &system[..10];
    let expected = "x.itch, offset 3: found the end of the file after 7 bytes, expected 11 bytes";
    check("x.itch", cut, Format::Auto, expected);
}

#[test]
fn cut_packed_files_are_damaged() {
    let packed = gzip(&b"1.5,1,7,18,100,1\n".repeat(100_000));
    let (_folder, path) = file_of("A.csv.gz", &packed[..packed.len() / 2]);
    let error = first_error(&path, Format::Lobster);
    assert!(error.contains("expected a whole gzip stream"), "{error}");
}

#[test]
fn skipped_rows_are_counted_and_the_rest_is_read() {
    let bad = "transaction,never,t1,c1,p1,,57.16,978\n";
    let content = format!("{PAYMENTS}{GOOD}{bad}{GOOD}short\n{GOOD}");
    let (_folder, path) = file_of("day.csv", content.as_bytes());
    let options = ImportOptions {
        on_error: OnError::Skip,
        ..ImportOptions::default()
    };
    let mut source = open(&path, Format::Auto, &options).unwrap();
    let mut event_count = 0;
    while source.next().unwrap().is_some() {
        event_count += 1;
    }
    let tally = source.tally();
    assert_eq!(
        (event_count, tally.events, tally.records, tally.skipped),
        (3, 3, 5, 2)
    );
    assert!(source.first_skipped().unwrap().to_string().contains("line 3"));
}

#[test]
fn reading_goes_on_behind_an_error_that_was_handed_out() {
    let content = format!("{PAYMENTS}oops,,,,,,,\n{GOOD}");
    let (_folder, path) = file_of("day.csv", content.as_bytes());
    let mut source = open(&path, Format::Auto, &ImportOptions::default()).unwrap();
    assert!(source.next().unwrap_err().is_skippable());
    assert!(source.next().unwrap().is_some());
    assert!(source.next().unwrap().is_none());
}

#[test]
fn late_rows_of_the_handbook_are_bad_records() {
    let content = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n\
        1,2018-04-01 00:00:31,1,1,5.0,0\n2,2018-04-01 00:00:30,1,1,5.0,0\n";
    let (_folder, path) = file_of("day.csv", content.as_bytes());
    let error = first_error(&path, Format::Auto);
    assert!(
        error.starts_with("day.csv, line 3: found time 1522540830000000000 ns, expected at least"),
        "{error}"
    );
}
