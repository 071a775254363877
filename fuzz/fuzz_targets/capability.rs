//! A capability survives its text, and an intersection gives nothing away.
#![no_main]

use falco::protocol::ably::auth::Capability;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut parts = text.splitn(3, '\n');
    let (ours, theirs) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let channel = parts.next().unwrap_or("a:b:c");
    let Ok(ours) = ours.parse::<Capability>() else {
        return;
    };
    assert_eq!(ours.to_string().parse(), Ok(ours.clone()));
    let Ok(theirs) = theirs.parse::<Capability>() else {
        return;
    };
    let both = ours.intersection(&theirs);
    assert_eq!(both, theirs.intersection(&ours));
    let wanted = ours
        .operations(channel)
        .intersection(theirs.operations(channel));
    assert_eq!(both.operations(channel), wanted, "{both} on {channel}");
});
