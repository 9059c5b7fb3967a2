//! Another client of the same driver, which does what `aeron-rs` does not know.

// The binding has no function of its own for static counters.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::time::Instant;

use pinion_transport::Endpoint;
use rusteron_client::bindings::{
    aeron_async_add_counter_poll, aeron_async_add_counter_t, aeron_async_add_static_counter, aeron_counter_t,
};
use rusteron_client::{Aeron, AeronContext, Handlers};

use crate::support::{PATIENCE, Place};

/// Type of the counter that the driver keeps for each image of each subscription.
pub(crate) const SUBSCRIBER_POSITION: i32 = 4;

fn connect(place: &Place) -> Aeron {
    let context = AeronContext::new().unwrap();
    let dir = CString::new(place.config.aeron_dir().to_str().unwrap()).unwrap();
    context.set_dir(&dir).unwrap();
    let aeron = Aeron::new(&context).unwrap();
    aeron.start().unwrap();
    aeron
}

/// How many of the driver's counters have this type.
pub(crate) fn counter_count(place: &Place, type_id: i32) -> usize {
    let mut count = 0;
    let aeron = connect(place);
    aeron
        .counters_reader()
        .foreach_counter_fn(|_value, _id, found_type_id, _key, _label| {
            count += usize::from(found_type_id == type_id);
        });
    count
}

/// Value of one of the driver's own counters, by the words in its label.
pub(crate) fn system_counter(place: &Place, words: &str) -> i64 {
    let mut found = None;
    let aeron = connect(place);
    aeron
        .counters_reader()
        .foreach_counter_fn(|value, _id, _type_id, _key, label| {
            if label.contains(words) {
                found = Some(value);
            }
        });
    found.unwrap_or_else(|| panic!("the driver has no counter {words:?}"))
}

/// Makes a static counter, of which the driver tells all clients.
pub(crate) fn make_static_counter(place: &Place, registration_id: i64) {
    let aeron = connect(place);
    let (key, label) = (b"key", b"a static counter");
    let mut question: *mut aeron_async_add_counter_t = std::ptr::null_mut();
    // SAFETY: the client lives until the end of this function, and key and label are read before the call returns.
    let asked = unsafe {
        aeron_async_add_static_counter(
            &raw mut question,
            aeron.get_inner(),
            1_001,
            key.as_ptr(),
            key.len(),
            label.as_ptr().cast(),
            label.len(),
            registration_id,
        )
    };
    assert_eq!(asked, 0);
    let mut counter: *mut aeron_counter_t = std::ptr::null_mut();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // SAFETY: the question came from the call above, and is not used again once it is answered.
        let answer = unsafe { aeron_async_add_counter_poll(&raw mut counter, question) };
        assert!(
            answer >= 0 && Instant::now() < deadline,
            "no static counter: {answer}"
        );
        if answer == 1 {
            break;
        }
        std::thread::yield_now();
    }
}

/// Subscribes to a stream and rejects its publisher, of which the driver tells that publisher's client.
/// `meanwhile` is called while waiting, and must keep the publisher's client turning.
pub(crate) fn reject_publisher(place: &Place, endpoint: &Endpoint, mut meanwhile: impl FnMut()) {
    let aeron = connect(place);
    let channel = CString::new(endpoint.channel.as_str()).unwrap();
    let question = aeron
        .async_add_subscription(&channel, endpoint.stream_id, Handlers::NONE, Handlers::NONE)
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let subscription = loop {
        assert!(Instant::now() < deadline, "no subscription");
        meanwhile();
        if let Some(subscription) = question.poll().unwrap() {
            break subscription;
        }
    };
    let image = loop {
        assert!(Instant::now() < deadline, "no image");
        meanwhile();
        if let Some(image) = subscription.image_at_index(0) {
            break image;
        }
    };
    image.reject(c"for a test").unwrap();
    drop(image);
}
