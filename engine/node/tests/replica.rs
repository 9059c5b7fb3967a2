//! A replica that was copied goes on as the one that it was copied from.

mod support;

use std::sync::Arc;

use pinion_journal::Reader;
use pinion_node::Replica;
use pinion_node::replica::copy_into_fresh;
use pinion_runtime::state::State as _;
use support::*;

/// Regions whose bytes differ, by name and number.
fn differing(first: &Replica, second: &Replica) -> Vec<(&'static str, u32)> {
    let pairs = first.regions().into_iter().zip(second.regions());
    pairs
        .filter(|(first, second)| first.bytes != second.bytes)
        .map(|(region, _)| (region.name, region.index))
        .collect()
}

#[test]
fn copied_replica_goes_on_as_the_one_it_was_copied_from() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(2_200);
    light.stop();
    let set = Arc::new(config.features.load_set().unwrap());
    let dir = config.journal().dir;
    let mut whole = Replica::new(&config, set.clone()).unwrap();
    let mut inputs = Reader::open(&dir).unwrap();
    for step in 1..=11 {
        whole.run(&mut inputs, step * 200, usize::MAX, |_, _| ()).unwrap();
        let mut copied = Replica::new(&config, set.clone()).unwrap();
        copy_into_fresh(&whole, &mut copied);
        copied.resume_at(whole.place());
        assert_eq!(differing(&whole, &copied), [], "copied at {}", step * 200);
        let mut rest = Reader::open_at(&dir, copied.place().position).unwrap().unwrap();
        copied.run(&mut rest, u64::MAX, usize::MAX, |_, _| ()).unwrap();
        let mut expected = Replica::new(&config, set.clone()).unwrap();
        let mut all = Reader::open(&dir).unwrap();
        expected.run(&mut all, u64::MAX, usize::MAX, |_, _| ()).unwrap();
        assert_eq!(
            differing(&expected, &copied),
            [],
            "copied at {}, at the end",
            step * 200
        );
        assert_eq!(expected.digest(), copied.digest());
    }
}
