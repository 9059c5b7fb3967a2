//! Questions to a running engine: right answers, and no stop whatever is asked.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use pinion_journal::Reader;
use pinion_node::Replica;
use pinion_node::admin::{
    AdminError, Answer, Client, EntityAnswer, Features, REQUEST_LEN_MAX, Request, SOCKET_NAME,
};
use pinion_schemas::encode::Event;
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

fn get(names: &[(&str, &str)]) -> Request {
    Request::FeaturesGet {
        entity: names
            .iter()
            .map(|(kind, name)| (kind.to_string(), name.to_string()))
            .collect(),
        as_of_ns: None,
    }
}

fn features(light: &Light, names: &[(&str, &str)]) -> Features {
    match light.ask(&get(names)) {
        Answer::Features(features) => features,
        other => panic!("{other:?}"),
    }
}

/// Sends bytes as they are and returns the lines that come back.
fn raw(folder: &Path, bytes: &[u8], lines: usize) -> Vec<String> {
    let mut stream = UnixStream::connect(folder.join("data").join(SOCKET_NAME)).unwrap();
    // The engine may break off while a long request is still being sent.
    let _ = stream.write_all(bytes);
    let lines = BufReader::new(stream).lines().take(lines);
    lines.map_while(Result::ok).collect()
}

#[track_caller]
fn check_refused(folder: &Path, line: &str, expected: &str) {
    let answer = raw(folder, format!("{line}\n").as_bytes(), 1);
    assert!(answer[0].starts_with("{\"error\":\""), "{answer:?}");
    assert!(answer[0].contains(expected), "{answer:?}");
}

#[test]
fn what_is_not_understood_is_answered_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut light = Light::start(&config(folder.path()));
    light.run(50);
    let check = |line: &str, expected: &str| check_refused(folder.path(), line, expected);
    check("", "request: EOF while parsing");
    check("not json", "request: expected ident at line 1 column 2");
    check("{}", "request: missing field `request`");
    check(
        r#"{"request": "stop"}"#,
        "unknown variant `stop`, expected one of `features_get`",
    );
    check(
        r#"{"request": "features_get", "entity": {"card": "1"}, "loud": true}"#,
        "unknown field `loud`",
    );
    check(
        r#"{"request": "features_get", "entity": {}}"#,
        "entity has no name",
    );
    check(
        r#"{"request": "features_get", "entity": {"dog": "1"}}"#,
        "entity.dog is no kind, expected one of customer, terminal, card, merchant, device, account",
    );
    check(
        r#"{"request": "features_get", "entity": {"card": ""}}"#,
        "entity.card is \\\"\\\", expected a name of 1 to 36 bytes",
    );
    check(
        r#"{"request": "features_backfill", "set": "nowhere/none.toml"}"#,
        "nowhere/none.toml",
    );
    let invalid = raw(folder.path(), b"\xFF\xFE\n", 1);
    assert!(invalid[0].starts_with("{\"error\":\"request: "), "{invalid:?}");
    let long = raw(folder.path(), &vec![b'x'; REQUEST_LEN_MAX + 2], 2);
    assert_eq!(
        long,
        [format!(
            "{{\"error\":\"a request is longer than {REQUEST_LEN_MAX} bytes, expected at most that\"}}"
        )]
    );
    let twice = raw(
        folder.path(),
        b"{\"request\": \"status\"}\n{\"request\": \"status\"}\n",
        2,
    );
    assert!(
        twice
            .iter()
            .all(|line| line.starts_with("{\"result\":{\"status\":")),
        "{twice:?}"
    );
    let breaks_off = UnixStream::connect(folder.path().join("data").join(SOCKET_NAME));
    breaks_off.unwrap().write_all(b"{\"request\":").unwrap();
    light.run(100);
    light.stop();
}

#[test]
fn values_are_those_that_the_next_transaction_would_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(1_000);
    light.digest_at(1_000);
    let Event::Transaction(last) = payment(1_000) else {
        panic!("expected a transaction")
    };
    let (customer, terminal) = (
        last.customer.as_str().to_owned(),
        last.terminal.as_str().to_owned(),
    );
    let found = features(&light, &[("customer", &customer), ("terminal", &terminal)]);
    assert_eq!(
        (found.set.name.as_str(), found.replica.sequence),
        ("payments-v1", 1_000)
    );
    assert_eq!(
        (found.replica.lag_events, found.as_of_ns),
        (0, found.replica.event_ns)
    );
    let names: Vec<&str> = found.slots.iter().map(|slot| slot.name.as_str()).collect();
    assert_eq!(
        (names.len(), names[0], names[11]),
        (12, "customer_count_1d", "terminal_fraud_share_30d")
    );
    let known = |kind: &str, name: &str, newest_ns| EntityAnswer {
        kind: kind.to_owned(),
        name: name.to_owned(),
        is_known: true,
        newest_ns,
    };
    let customer_newest = found.entities[0].newest_ns;
    assert!(customer_newest >= Some(last.event_ns));
    assert_eq!(found.entities[0], known("customer", &customer, customer_newest));

    let set = Arc::new(config.features.load_set().unwrap());
    let mut replica = Replica::new(&config, set).unwrap();
    let mut inputs = Reader::open(&config.journal().dir).unwrap();
    let mut vector = [0.0; 64];
    replica
        .run(&mut inputs, 1_000, usize::MAX, |_, last| vector = *last)
        .unwrap();
    let as_of_last = Request::FeaturesGet {
        entity: BTreeMap::from([("customer".to_owned(), customer)]),
        as_of_ns: Some(last.event_ns),
    };
    let Answer::Features(as_of_last) = light.ask(&as_of_last) else {
        panic!("expected features")
    };
    for slot in &as_of_last.slots {
        assert_eq!(slot.value, vector[slot.index], "{}", slot.name);
    }
    assert_eq!(as_of_last.slots.len(), 6, "the customer's alone");

    let stranger = features(&light, &[("customer", "nobody")]);
    assert_eq!(
        (stranger.entities[0].is_known, stranger.entities[0].newest_ns),
        (false, None)
    );
    light.stop();
}

#[test]
fn socket_is_the_owners_alone_and_gone_after_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let socket = config.engine.dir.join(SOCKET_NAME);
    std::fs::create_dir_all(&config.engine.dir).unwrap();
    std::fs::write(&socket, "left by an engine that was killed").unwrap();
    let light = Light::start(&config);
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(light.try_ask(&Request::Status).is_ok());
    light.stop();
    assert!(!socket.exists());
    let Err(error) = Client::connect(&config.engine.dir) else {
        panic!("nobody listens")
    };
    assert!(matches!(error, AdminError::NotRunning { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("expected the socket of a running engine"),
        "{error}"
    );
}

#[test]
fn folder_with_a_long_name_has_its_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder
        .path()
        .join("a-name-of-fifty-bytes-that-is-longer-than-it-needs")
        .join("another-name-so-that-the-path-of-the-socket-is-longer-than-an-address");
    let light = Light::start(&config(&long));
    assert!(light.config.engine.dir.join(SOCKET_NAME).as_os_str().len() > 107);
    assert!(light.try_ask(&Request::FeaturesDigest).is_ok());
    light.stop();
}

#[test]
fn set_is_exchanged_in_a_running_engine_and_its_decisions_tell() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(500);
    let backfill = Request::FeaturesBackfill {
        set: set_path("payments-attempts"),
        from: None,
    };
    let Answer::Backfilled(backfilled) = light.ask(&backfill) else {
        panic!("expected a set")
    };
    assert_eq!(
        (backfilled.set.name.as_str(), backfilled.first_sequence),
        ("payments-attempts", 501)
    );
    light.run(900);
    let digest = light.digest_at(900).digest;
    assert_eq!(light.checkpoint().sequence, 900);
    light.stop();
    // The next start finds the set in its configuration, and the checkpoint is of it.
    config.features.set = set_path("payments-attempts");
    let light = Light::start(&config);
    let restored = light.engine.recovered().restored.clone();
    assert_eq!(restored.map(|restored| restored.sequence), Some(900));
    assert_eq!(light.digest_at(900).digest, digest);
    light.stop();
}
