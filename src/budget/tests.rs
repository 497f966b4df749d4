use super::*;

const LIMIT: usize = 100 * FREE_BELOW;

fn text(length: usize) -> Bytes {
    vec![b'x'; length].into()
}

#[test]
fn bytes_carry_their_charge_until_the_last_part_is_dropped() {
    let budget = Budget::new(LIMIT);
    let whole = budget.charge_bytes(text(60 * FREE_BELOW)).unwrap();
    let part = whole.slice(10..20);
    assert_eq!(
        budget.charge_bytes(text(41 * FREE_BELOW)),
        Err(BudgetExceeded { limit: LIMIT })
    );
    drop(whole);
    assert_eq!(budget.held(), 60 * FREE_BELOW);
    drop(part);
    assert_eq!(budget.held(), 0);
    assert!(budget.charge_bytes(text(100 * FREE_BELOW)).is_ok());
    assert!(budget.charge_with_copy(text(50 * FREE_BELOW)).is_ok());
    assert!(budget.charge_with_copy(text(51 * FREE_BELOW)).is_err());
}

#[test]
fn small_texts_are_not_counted_and_pass_with_the_budget_used_up() {
    let budget = Budget::new(LIMIT);
    let _all = budget.charge_unchecked(text(LIMIT));
    assert!(budget.charge_bytes(text(FREE_BELOW)).is_ok());
    assert!(budget.charge_bytes(text(FREE_BELOW + 1)).is_err());
    let more = budget.charge_unchecked(text(FREE_BELOW + 1));
    assert_eq!(budget.held(), LIMIT + FREE_BELOW + 1);
    drop(more);
    assert_eq!(budget.held(), LIMIT);
}

#[test]
fn a_charge_grows_and_shrinks() {
    let budget = Budget::new(LIMIT);
    let mut charge = budget.charge();
    for (length, held) in [
        (FREE_BELOW, 0),
        (3 * FREE_BELOW, 3 * FREE_BELOW),
        (2 * FREE_BELOW, 2 * FREE_BELOW),
        (1, 0),
    ] {
        charge.cover(length).unwrap();
        assert_eq!(budget.held(), held);
    }
    charge.cover(LIMIT).unwrap();
    assert!(charge.cover(LIMIT + 1).is_err());
    assert_eq!(budget.held(), LIMIT, "the charge is unchanged");
}

#[test]
fn bytes_queued_for_the_client_count_against_the_budget() {
    let budget = Budget::new(LIMIT);
    budget.set_waiting(90 * FREE_BELOW);
    assert!(budget.fits(10 * FREE_BELOW) && !budget.fits(10 * FREE_BELOW + 1));
    assert!(budget.charge_bytes(text(11 * FREE_BELOW)).is_err());
    budget.set_waiting(0);
    assert!(budget.charge_bytes(text(11 * FREE_BELOW)).is_ok());
}

#[test]
fn a_backend_that_takes_all_it_can_get_leaves_a_quarter_free() {
    let client = Budget::new(LIMIT);
    let mut kept = Vec::new();
    let mut remaining = LIMIT;
    for _ in 0..3 {
        let greedy = client.backend_share();
        let before = client.held();
        while let Ok(more) = greedy.charge_bytes(text(FREE_BELOW + 1)) {
            kept.push(more);
        }
        let got = client.held() - before;
        assert!(got > 0 && got <= remaining * 3 / 4, "{got} of {remaining}");
        remaining -= got;
    }
    assert!(remaining < LIMIT / 8, "most of it can be used: {remaining}");
    assert!(
        client.charge_bytes(text(remaining)).is_ok(),
        "the client gets it all"
    );
    drop(kept);
    assert_eq!(client.held(), 0);
}
