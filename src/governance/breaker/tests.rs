use proptest::prelude::*;
use tokio::time::{advance, sleep};

use super::*;

const REASON: &str = "connection refused";

fn failing() -> Health {
    Health::Failure(REASON.into())
}

fn closed() -> Arc<Breaker> {
    Arc::new(Breaker::new("fake"))
}

/// With this many failures behind it.
fn after_failures(count: u32) -> Arc<Breaker> {
    let breaker = closed();
    for _ in 0..count {
        breaker.admit().unwrap().settle(failing());
    }
    breaker
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_it_and_calls_are_turned_away_at_once() {
    let breaker = after_failures(FAILURES - 1);
    breaker.admit().unwrap().settle(Health::Success);
    for _ in 0..FAILURES {
        breaker.admit().unwrap().settle(failing());
    }
    assert!(breaker.turns_away());
    let refusal = breaker.admit().unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "not called, because its last 5 calls failed (connection refused); it is tried again in 1 s"
    );
    advance(Duration::from_millis(500)).await;
    let refusal = breaker.admit().unwrap_err().to_string();
    assert!(refusal.ends_with("tried again in 1 s"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_about_the_backend_neither_opens_nor_closes() {
    let breaker = after_failures(FAILURES - 1);
    for _ in 0..100 {
        breaker.admit().unwrap().settle(Health::Neutral);
    }
    breaker.admit().unwrap().settle(failing());
    assert!(breaker.admit().is_err());
}

#[tokio::test(start_paused = true)]
async fn one_probe_goes_through_and_its_success_closes() {
    let breaker = after_failures(FAILURES);
    sleep(FIRST_WAIT).await;
    assert!(!breaker.turns_away());
    let probe = breaker.admit().unwrap();
    let refusal = breaker.admit().unwrap_err().to_string();
    assert!(
        refusal.ends_with("another call is trying it again right now"),
        "{refusal}"
    );
    probe.settle(Health::Success);
    let together: Vec<Permit> = (0..10).map(|_| breaker.admit().unwrap()).collect();
    drop(together);
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_half_a_minute() {
    let breaker = after_failures(FAILURES);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        sleep(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_err(), "before {seconds} s");
        sleep(Duration::from_millis(1)).await;
        breaker.admit().unwrap().settle(failing());
    }
    // And from the beginning, once it has answered.
    sleep(LONGEST_WAIT).await;
    breaker.admit().unwrap().settle(Health::Success);
    for _ in 0..FAILURES {
        breaker.admit().unwrap().settle(failing());
    }
    sleep(FIRST_WAIT).await;
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_cancelled_gives_its_place_back() {
    let breaker = after_failures(FAILURES);
    sleep(FIRST_WAIT).await;
    drop(breaker.admit().unwrap());
    breaker.admit().unwrap().settle(Health::Neutral);
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_takes_long_does_not_keep_the_others_away_for_ever() {
    let breaker = after_failures(FAILURES);
    sleep(FIRST_WAIT).await;
    let slow = breaker.admit().unwrap();
    sleep(LONGEST_WAIT).await;
    let next = breaker.admit().unwrap();
    // The first has lost its place: giving it back lets nobody in.
    drop(slow);
    assert!(breaker.admit().is_err());
    next.settle(Health::Success);
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_reached_otherwise_is_tried_at_once() {
    let breaker = after_failures(FAILURES);
    breaker.reached();
    let probe = breaker.admit().unwrap();
    assert!(breaker.admit().is_err());
    probe.settle(failing());
    assert!(breaker.admit().is_err());
}

#[tokio::test(start_paused = true)]
async fn results_that_come_late_change_nothing() {
    let breaker = closed();
    let mut late: Vec<Permit> = (0..20).map(|_| breaker.admit().unwrap()).collect();
    for _ in 0..FAILURES {
        breaker.admit().unwrap().settle(failing());
    }
    late.pop().unwrap().settle(Health::Success);
    assert!(breaker.admit().is_err(), "closed by a call of before");
    sleep(FIRST_WAIT).await;
    breaker.admit().unwrap().settle(Health::Success);
    for permit in late {
        permit.settle(failing());
    }
    assert!(breaker.admit().is_ok(), "opened by calls of before");
}

#[tokio::test(start_paused = true)]
async fn asking_whether_it_turns_calls_away_takes_no_probe() {
    let breaker = after_failures(FAILURES);
    assert!(breaker.turns_away());
    sleep(FIRST_WAIT).await;
    assert!(!breaker.turns_away());
    let _probe = breaker.admit().unwrap();
    assert!(breaker.turns_away());
}

/// What can happen to a breaker.
#[derive(Debug, Clone)]
enum Step {
    Admit,
    /// The permit at this place among those that are out, and how it ends.
    Settle(prop::sample::Index, u8),
    Wait(u64),
    ProgressHighWater,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Admit),
        4 => (any::<prop::sample::Index>(), 0..4u8).prop_map(|(at, end)| Step::Settle(at, end)),
        1 => (0..40_000u64).prop_map(Step::Wait),
        1 => Just(Step::ProgressHighWater),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Never two probes within the time that one has; turned away only after five failures; what
    /// is alive or says nothing never opens it.
    #[test]
    fn whatever_happens_it_keeps_its_promises(steps in prop::collection::vec(step(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = closed();
            let mut out: Vec<(Permit, Instant)> = Vec::new();
            let mut failures_told = 0;
            for step in steps {
                match step {
                    Step::Admit => match breaker.admit() {
                        Ok(permit) => {
                            let fresh = out.iter().filter(|(other, since)| {
                                other.probe.is_some()
                                    && other.epoch == permit.epoch
                                    && since.elapsed() < LONGEST_WAIT
                            });
                            assert!(permit.probe.is_none() || fresh.count() == 0, "two probes");
                            out.push((permit, Instant::now()));
                        }
                        Err(_) => assert!(failures_told >= FAILURES, "turned away for nothing"),
                    },
                    Step::Settle(at, end) if !out.is_empty() => {
                        let (permit, _) = out.swap_remove(at.index(out.len()));
                        match end {
                            0 => permit.settle(Health::Success),
                            1 => permit.settle(Health::Neutral),
                            2 => drop(permit),
                            _ => {
                                failures_told += 1;
                                permit.settle(failing());
                            }
                        }
                    }
                    Step::Settle(..) => {}
                    Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
                    Step::ProgressHighWater => breaker.reached(),
                }
            }
            // However it stands, it lets somebody through in the end.
            drop(out);
            sleep(LONGEST_WAIT).await;
            assert!(breaker.admit().is_ok());
        });
    }
}
