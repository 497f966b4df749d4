use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;

use super::{Decoder, MAX_ID, TooLarge};

const ROOMY: usize = 1 << 30;

/// An event with the decoder's state right after it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    event: String,
    data: String,
    id: String,
}

fn seen(event: &str, data: &str, id: &str) -> Seen {
    Seen {
        event: event.into(),
        data: data.into(),
        id: id.into(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn feed(decoder: &mut Decoder, chunk: &[u8]) -> Result<Vec<Seen>, TooLarge> {
    decoder.push(Bytes::copy_from_slice(chunk));
    let mut all = Vec::new();
    while let Some(event) = decoder.next() {
        let event = event?;
        all.push(Seen {
            event: event.event.as_deref().map_or("message".into(), text),
            data: text(&event.data),
            id: decoder.last_event_id().unwrap_or_default().into(),
        });
    }
    Ok(all)
}

fn decode(chunks: &[&[u8]], cap: usize) -> Result<Vec<Seen>, TooLarge> {
    let mut decoder = Decoder::new(cap);
    let mut all = Vec::new();
    for chunk in chunks {
        all.extend(feed(&mut decoder, chunk)?);
    }
    Ok(all)
}

/// Decodes the whole, in one piece, split in two at every byte, and byte by byte: all must agree.
fn events(input: &[u8]) -> Vec<Seen> {
    let whole = decode(&[input], ROOMY).unwrap();
    for at in 0..=input.len() {
        let (left, right) = input.split_at(at);
        let parts = decode(&[left, right], ROOMY).unwrap();
        assert_eq!(parts, whole, "{:?} split at {at}", text_lossy(input));
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(
        decode(&bytes, ROOMY).unwrap(),
        whole,
        "{:?} byte by byte",
        text_lossy(input)
    );
    whole
}

fn text_lossy(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

fn data(input: &str) -> Vec<String> {
    events(input.as_bytes())
        .into_iter()
        .map(|e| e.data)
        .collect()
}

#[test]
fn lines_end_in_lf_cr_or_crlf_and_these_mix() {
    for input in [
        "data: a\ndata: b\n\ndata: c\n\n",
        "data: a\rdata: b\r\rdata: c\r\r",
        "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
        "data: a\r\ndata: b\n\rdata: c\r\r\n",
        "data: a\rdata: b\n\r\ndata: c\n\r",
    ] {
        assert_eq!(data(input), ["a\nb", "c"], "{input:?}");
    }
}

#[test]
fn a_cr_at_the_end_of_a_chunk_ends_the_line_and_a_following_lf_is_skipped() {
    let mut decoder = Decoder::new(ROOMY);
    assert_eq!(
        feed(&mut decoder, b"data: a\r\n\r").unwrap(),
        [seen("message", "a", "")]
    );
    assert_eq!(feed(&mut decoder, b"").unwrap(), []);
    assert_eq!(feed(&mut decoder, b"\ndata: b\r").unwrap(), []);
    assert_eq!(
        feed(&mut decoder, b"\r").unwrap(),
        [seen("message", "b", "")]
    );
}

#[test]
fn one_byte_order_mark_at_the_very_start_is_dropped() {
    assert_eq!(data("\u{feff}data: a\n\n"), ["a"]);
    assert_eq!(data("\u{feff}\u{feff}data: a\n\n"), [""; 0]);
    assert_eq!(data("\n\u{feff}data: a\n\n"), [""; 0]);
    assert_eq!(data("\u{feff}: comment\n\u{feff}\ndata: a\n\n"), ["a"]);
    assert_eq!(data("data: \u{feff}a\n\n"), ["\u{feff}a"]);
    // What only began like one is text.
    assert_eq!(events(b"\xEF\xBBdata: a\n\ndata: b\n\n").len(), 1);
}

#[test]
fn comments_are_passed_over() {
    assert_eq!(
        data(": hi\n:\n:data: no\ndata: a\n: between\ndata: b\n\n:\n\n"),
        ["a\nb"]
    );
}

#[test]
fn data_lines_are_joined_with_newlines() {
    assert_eq!(data("data: a\ndata:\ndata: b\n\n"), ["a\n\nb"]);
    // The standard's own example: an empty event, one of a single newline, one cut off.
    assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
}

#[test]
fn one_space_after_the_colon_is_dropped_and_only_one() {
    assert_eq!(
        data("data:a\n\ndata: a\n\ndata:  a \n\n"),
        ["a", "a", " a "]
    );
    assert_eq!(data("data:\ta:b\n\n"), ["\ta:b"]);
}

#[test]
fn unknown_fields_and_other_spellings_are_ignored() {
    assert_eq!(
        data("foo: bar\nDATA: no\n data: no\ndata : no\ndat\ndata: a\nfoo\n\n"),
        ["a"]
    );
}

#[test]
fn the_type_belongs_to_one_event() {
    let all = events(b"event: endpoint\ndata: a\n\ndata: b\n\nevent: x\nevent:\ndata: c\n\n");
    assert_eq!(
        all,
        [
            seen("endpoint", "a", ""),
            seen("message", "b", ""),
            seen("message", "c", "")
        ]
    );
    assert_eq!(
        events(b"event: x\n\nevent: message\ndata: d\n\n"),
        [seen("message", "d", "")]
    );
}

/// Fault 57.
#[test]
fn an_event_without_its_blank_line_is_never_yielded() {
    assert_eq!(data("data: a\n\ndata: b\n"), ["a"]);
    assert_eq!(data("data: a\n\nid: 2\ndata: b"), ["a"]);

    let mut decoder = Decoder::new(ROOMY);
    feed(&mut decoder, b"id: 1\ndata: a\n\nid: 2\ndata: b\n").unwrap();
    assert_eq!(decoder.last_event_id(), Some("1"));
}

/// Fault 56.
#[test]
fn a_priming_event_is_yielded_with_no_data_and_sets_the_id() {
    assert_eq!(events(b"id: 7\ndata:\n\n"), [seen("message", "", "7")]);
    assert_eq!(
        events(b"id: 7\nretry: 5\ndata: \n\ndata: a\n\n"),
        [seen("message", "", "7"), seen("message", "a", "7")]
    );
}

#[test]
fn an_id_alone_is_no_event_but_counts() {
    let mut decoder = Decoder::new(ROOMY);
    assert_eq!(feed(&mut decoder, b"id: 7\n\n").unwrap(), []);
    assert_eq!(decoder.last_event_id(), Some("7"));
}

#[test]
fn ids_last_until_the_next_and_an_empty_one_resets() {
    assert_eq!(
        events(b"data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid\ndata: d\n\n"),
        [
            seen("message", "a", ""),
            seen("message", "b", "1"),
            seen("message", "c", "1"),
            seen("message", "d", "")
        ]
    );
}

#[test]
fn an_id_with_a_nul_or_broken_utf8_is_ignored() {
    assert_eq!(
        events(b"id: 1\nid: 2\0\nid: \xFF\ndata: a\n\n"),
        [seen("message", "a", "1")]
    );
}

#[test]
fn an_id_that_fits_into_no_header_is_ignored() {
    let long = "x".repeat(MAX_ID + 1);
    let stream = format!("id: 1\nid: {long}\ndata: a\n\n");
    let mut decoder = Decoder::new(2 * MAX_ID);
    feed(&mut decoder, stream.as_bytes()).unwrap();
    assert_eq!(decoder.last_event_id(), Some("1"));
}

#[test]
fn retry_is_taken_from_digits_alone_and_at_once() {
    let retry = |value: &str| {
        let mut decoder = Decoder::new(ROOMY);
        feed(
            &mut decoder,
            format!("retry: 1\nretry:{value}\n").as_bytes(),
        )
        .unwrap();
        decoder.retry().unwrap()
    };
    assert_eq!(retry(" 2500"), Duration::from_millis(2500));
    assert_eq!(retry("007"), Duration::from_millis(7));
    for ignored in ["", " ", " +5", " -5", " 5 ", " 1.5", " 1e3", " ٣"] {
        assert_eq!(retry(ignored), Duration::from_millis(1), "{ignored:?}");
    }
    assert_eq!(
        retry("99999999999999999999999"),
        Duration::from_millis(u64::MAX)
    );
    assert_eq!(Decoder::new(ROOMY).retry(), None);
}

/// Fault 52.
#[test]
fn characters_split_between_chunks_come_out_whole() {
    assert_eq!(data("data: grüße 😀\ndata: 日本\n\n"), ["grüße 😀\n日本"]);
}

#[test]
fn data_that_is_not_utf8_comes_out_as_it_was() {
    let mut decoder = Decoder::new(ROOMY);
    decoder.push(Bytes::from_static(b"data: \xFF\0\xC3\n\n"));
    assert_eq!(&decoder.next().unwrap().unwrap().data[..], b"\xFF\0\xC3");
}

#[test]
fn a_line_within_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"event: e\r\ndata: hello\r\n\r\ndata: again\n\n");
    let mut decoder = Decoder::new(ROOMY);
    decoder.push(chunk.clone());
    for (word, at) in [("hello", 16), ("again", 31)] {
        let event = decoder.next().unwrap().unwrap();
        assert_eq!(event.data, word);
        assert_eq!(event.data.as_ptr(), chunk[at..].as_ptr());
    }
}

#[test]
fn pushing_before_all_events_are_taken_loses_nothing() {
    let mut decoder = Decoder::new(ROOMY);
    decoder.push(Bytes::from_static(b"data: a\n\ndata: b\n\ndata"));
    decoder.push(Bytes::from_static(b": c\n\n"));
    let all: Vec<_> = decoder.map(|event| event.unwrap().data).collect();
    assert_eq!(all, ["a", "b", "c"]);
}

/// Fault 64.
#[test]
fn the_cap_holds_over_one_line_over_many_and_over_a_line_that_never_ends() {
    let fits = format!("data: {}\n\n", "x".repeat(94));
    assert_eq!(decode(&[fits.as_bytes()], 100).unwrap().len(), 1);
    let too_long = format!("data: {}\n\n", "x".repeat(95));
    let many = "data: xxxxxxxx\n".repeat(12);
    let typed = format!("event: {}\ndata: {}\n\n", "t".repeat(50), "x".repeat(50));
    let endless = format!("data: {}", "x".repeat(95));
    let unknown = "x".repeat(101);
    for input in [too_long, many, typed, endless, unknown] {
        let input = input.as_bytes();
        for size in [1, 7, input.len()] {
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            assert_eq!(decode(&chunks, 100), Err(TooLarge { limit: 100 }));
        }
    }
}

#[test]
fn the_cap_is_for_one_event_not_for_the_stream() {
    let stream = "data: 0123456789\n\n".repeat(1000);
    assert_eq!(decode(&[stream.as_bytes()], 20).unwrap().len(), 1000);
}

#[test]
fn nothing_comes_after_too_large() {
    let mut decoder = Decoder::new(10);
    decoder.push(Bytes::from_static(b"data: 0123456789\n\ndata: a\n\n"));
    assert_eq!(decoder.next(), Some(Err(TooLarge { limit: 10 })));
    assert_eq!(decoder.next(), None);
    decoder.push(Bytes::from_static(b"data: a\n\n"));
    assert_eq!(decoder.next(), None);
}

/// Fault 59.
#[test]
fn comments_without_end_keep_no_memory() {
    let mut decoder = Decoder::new(100);
    feed(&mut decoder, b"data: a\n: ").unwrap();
    for _ in 0..10_000 {
        assert_eq!(feed(&mut decoder, &[b'x'; 1000]).unwrap(), []);
        assert_eq!(decoder.partial.capacity(), 0);
    }
    assert_eq!(
        feed(&mut decoder, b"\n\n").unwrap(),
        [seen("message", "a", "")]
    );
}

/// What streams are made of, so that random ones hit every rule.
fn any_stream() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "data",
        "data:",
        "data: ",
        "data:  ",
        "event:",
        "event: ",
        "id",
        "id:",
        "id: ",
        "retry:",
        "retry: 15",
        ":",
        ": ping",
        " ",
        "x",
        "message",
        "é",
        "😀",
        "日",
        "\u{feff}",
        "\0",
        "\r",
        "\n",
        "\r\n",
        "\r\r",
        "\n\n",
        "\r\n\r\n",
        "{\"jsonrpc\":\"2.0\"}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.sort_unstable();
    at.push(input.len());
    let mut from = 0;
    at.into_iter()
        .map(|to| &input[std::mem::replace(&mut from, to)..to])
        .collect()
}

/// What the `eventsource-stream` crate reads from the input. It differs from the standard in these:
/// a CR that ends the stream doesn't end its line (so a LF is put behind it, which changes
/// nothing), a byte order mark at the start makes it panic (excluded), and it takes `retry: +5` and
/// tells of `retry` only with an event (not compared).
fn peer(input: &str) -> Vec<Seen> {
    let mut input = input.to_owned();
    if input.ends_with('\r') {
        input.push('\n');
    }
    stream::iter([Ok::<_, Infallible>(input)])
        .eventsource()
        .map(|event| {
            let event = event.unwrap();
            seen(&event.event, &event.data, &event.id)
        })
        .collect()
        .now_or_never()
        .unwrap()
}

proptest! {
    #[test]
    fn every_split_gives_the_same_events(input in any_stream()) {
        events(input.as_bytes());
    }

    #[test]
    fn every_chunking_gives_the_same_events(
        input in any_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        cap in 6usize..60,
    ) {
        let input = input.as_bytes();
        let chunks = cut(input, &cuts);
        prop_assert_eq!(decode(&chunks, ROOMY), decode(&[input], ROOMY));
        // An unfinished line may be over the cap before its end shows.
        let ended = [input, b"\n"].concat();
        let chunks = cut(&ended, &cuts);
        prop_assert_eq!(decode(&chunks, cap).is_err(), decode(&[&ended], cap).is_err());
    }

    #[test]
    fn it_agrees_with_an_independent_decoder(input in any_stream()) {
        prop_assume!(!input.starts_with('\u{feff}'));
        prop_assert_eq!(events(input.as_bytes()), peer(&input));
    }

    #[test]
    fn no_bytes_upset_it(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10)) {
        let mut decoder = Decoder::new(64);
        for chunk in chunks {
            decoder.push(chunk.into());
            while decoder.next().is_some() {}
        }
    }
}
