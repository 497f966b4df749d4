use super::*;

const LIMIT: usize = 100 * FREE;

fn text(length: usize) -> Bytes {
    vec![b'x'; length].into()
}

#[test]
fn bytes_carry_their_charge_until_the_last_part_is_dropped() {
    let budget = Budget::new(LIMIT);
    let whole = budget.hold(text(60 * FREE)).unwrap();
    let part = whole.slice(10..20);
    assert_eq!(budget.hold(text(41 * FREE)), Err(NoRoom { limit: LIMIT }));
    drop(whole);
    assert_eq!(budget.held(), 60 * FREE);
    drop(part);
    assert_eq!(budget.held(), 0);
    assert!(budget.hold(text(100 * FREE)).is_ok());
    assert!(budget.hold_with_copy(text(50 * FREE)).is_ok());
    assert!(budget.hold_with_copy(text(51 * FREE)).is_err());
}

#[test]
fn small_texts_are_free_and_pass_when_nothing_else_does() {
    let budget = Budget::new(LIMIT);
    let _all = budget.hold_anyway(text(LIMIT));
    assert!(budget.hold(text(FREE)).is_ok());
    assert!(budget.hold(text(FREE + 1)).is_err());
    let more = budget.hold_anyway(text(FREE + 1));
    assert_eq!(budget.held(), LIMIT + FREE + 1);
    drop(more);
    assert_eq!(budget.held(), LIMIT);
}

#[test]
fn a_charge_grows_and_shrinks_with_what_it_is_for() {
    let budget = Budget::new(LIMIT);
    let mut charge = budget.charge();
    for (length, held) in [
        (FREE, 0),
        (3 * FREE, 3 * FREE),
        (2 * FREE, 2 * FREE),
        (1, 0),
    ] {
        charge.cover(length).unwrap();
        assert_eq!(budget.held(), held);
    }
    charge.cover(LIMIT).unwrap();
    assert!(charge.cover(LIMIT + 1).is_err());
    assert_eq!(budget.held(), LIMIT, "what it was for is still there");
}

#[test]
fn what_waits_for_the_client_takes_room() {
    let budget = Budget::new(LIMIT);
    budget.note_waiting(90 * FREE);
    assert!(budget.has_room(10 * FREE) && !budget.has_room(10 * FREE + 1));
    assert!(budget.hold(text(11 * FREE)).is_err());
    budget.note_waiting(0);
    assert!(budget.hold(text(11 * FREE)).is_ok());
}

#[test]
fn a_backend_that_takes_all_it_can_get_leaves_a_quarter_to_the_next() {
    let client = Budget::new(LIMIT);
    let mut kept = Vec::new();
    let mut left = LIMIT;
    for _ in 0..3 {
        let greedy = client.for_a_backend();
        let before = client.held();
        while let Ok(more) = greedy.hold(text(FREE + 1)) {
            kept.push(more);
        }
        let got = client.held() - before;
        assert!(got > 0 && got <= left * 3 / 4, "{got} of {left}");
        left -= got;
    }
    assert!(left < LIMIT / 8, "most of it can be used: {left}");
    assert!(client.hold(text(left)).is_ok(), "the client gets it all");
    drop(kept);
    assert_eq!(client.held(), 0);
}
