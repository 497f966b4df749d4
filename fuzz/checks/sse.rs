//! Server-sent events: however they are cut, the same events, within the cap, and those that an
//! independent decoder sees.

use std::convert::Infallible;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use sentinel_gateway::backend::sse::{Decoder, Event, TooLarge};

use super::{chance_of, pieces};

/// Small, so that inputs get past it.
const CAP: usize = 48;

/// An event, and the id to resume from right after it.
type Seen = (Event, Option<String>);

pub fn check(data: &[u8]) {
    let mut rng = chance_of(data);
    let pieces: Vec<&[u8]> = pieces(&mut rng, data.len())
        .into_iter()
        .map(|piece| &data[piece])
        .collect();
    let bytes: Vec<&[u8]> = data.chunks(1).collect();

    let whole = decode(&[data], usize::MAX);
    assert!(whole.1.is_ok(), "there is no cap");
    assert_eq!(decode(&pieces, usize::MAX), whole, "in pieces");
    assert_eq!(decode(&bytes, usize::MAX), whole, "byte by byte");

    let capped = decode(&[data], CAP);
    assert_eq!(decode(&pieces, CAP), capped, "capped, in pieces");
    assert_eq!(decode(&bytes, CAP), capped, "capped, byte by byte");
    for (event, _) in &capped.0 {
        let size = event.data.len() + event.event.as_ref().map_or(0, Bytes::len);
        assert!(size <= CAP, "{size} bytes in one event");
    }
    assert_eq!(capped.0, whole.0[..capped.0.len()], "a cap changes nothing");

    if let Ok(text) = std::str::from_utf8(data)
        && text.trim_start_matches('\u{feff}') == text
    {
        compare(&whole.0, text);
    }
}

fn decode(chunks: &[&[u8]], cap: usize) -> (Vec<Seen>, Result<(), TooLarge>) {
    let mut decoder = Decoder::new(cap);
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next() {
            match event {
                Ok(event) => seen.push((event, decoder.last_event_id().map(str::to_owned))),
                Err(too_large) => {
                    decoder.push(Bytes::from_static(b"\n\ndata: more\n\n"));
                    assert!(decoder.next().is_none(), "an event after the end");
                    return (seen, Err(too_large));
                }
            }
        }
    }
    (seen, Ok(()))
}

/// Holds what we see against the `eventsource-stream` crate. It differs from the standard in these:
/// a byte order mark at the start makes it panic (not handed to it), a CR that ends the stream
/// doesn't end its line (a LF is put behind it, which changes nothing), and it tells of `retry`
/// only with an event (not compared).
fn compare(ours: &[Seen], text: &str) {
    let end = if text.ends_with('\r') { "\n" } else { "" };
    let theirs = stream::iter([Ok::<_, Infallible>(format!("{text}{end}"))])
        .eventsource()
        .map(Result::unwrap)
        .collect::<Vec<_>>()
        .now_or_never()
        .unwrap();
    let theirs: Vec<_> = theirs
        .iter()
        .map(|event| (event.event.as_str(), event.data.as_str(), event.id.as_str()))
        .collect();
    let text = |bytes: &Bytes| std::str::from_utf8(bytes).unwrap().to_owned();
    let ours: Vec<_> = ours
        .iter()
        .map(|(event, id)| {
            let kind = event.event.as_ref().map_or("message".into(), text);
            (kind, text(&event.data), id.clone().unwrap_or_default())
        })
        .collect();
    let ours: Vec<_> = ours
        .iter()
        .map(|(kind, data, id)| (kind.as_str(), data.as_str(), id.as_str()))
        .collect();
    assert_eq!(ours, theirs, "eventsource-stream sees something else");
}
