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

/// A breaker after this many consecutive failures.
fn after_failures(count: u32) -> Arc<Breaker> {
    let breaker = closed();
    for _ in 0..count {
        breaker.admit().unwrap().settle(failing());
    }
    breaker
}

#[tokio::test(start_paused = true)]
async fn five_consecutive_failures_open_it_and_calls_are_refused_immediately() {
    let breaker = after_failures(FAILURES - 1);
    breaker.admit().unwrap().settle(Health::Success);
    for _ in 0..FAILURES {
        breaker.admit().unwrap().settle(failing());
    }
    assert!(breaker.would_refuse());
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
async fn neutral_results_neither_open_nor_close_it() {
    let breaker = after_failures(FAILURES - 1);
    for _ in 0..100 {
        breaker.admit().unwrap().settle(Health::Neutral);
    }
    breaker.admit().unwrap().settle(failing());
    assert!(breaker.admit().is_err());
}

#[tokio::test(start_paused = true)]
async fn one_probe_is_admitted_and_its_success_closes_it() {
    let breaker = after_failures(FAILURES);
    sleep(FIRST_WAIT).await;
    assert!(!breaker.would_refuse());
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
async fn waits_double_up_to_30_seconds() {
    let breaker = after_failures(FAILURES);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        sleep(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_err(), "before {seconds} s");
        sleep(Duration::from_millis(1)).await;
        breaker.admit().unwrap().settle(failing());
    }
    // A success resets the wait.
    sleep(LONGEST_WAIT).await;
    breaker.admit().unwrap().settle(Health::Success);
    for _ in 0..FAILURES {
        breaker.admit().unwrap().settle(failing());
    }
    sleep(FIRST_WAIT).await;
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_lets_another_start() {
    let breaker = after_failures(FAILURES);
    sleep(FIRST_WAIT).await;
    drop(breaker.admit().unwrap());
    breaker.admit().unwrap().settle(Health::Neutral);
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_blocks_other_calls_for_a_bounded_time() {
    let breaker = after_failures(FAILURES);
    sleep(FIRST_WAIT).await;
    let slow = breaker.admit().unwrap();
    sleep(LONGEST_WAIT).await;
    let next = breaker.admit().unwrap();
    // The first is no longer the probe in flight: dropping it admits no call.
    drop(slow);
    assert!(breaker.admit().is_err());
    next.settle(Health::Success);
    assert!(breaker.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_backend_reached_otherwise_is_probed_immediately() {
    let breaker = after_failures(FAILURES);
    breaker.reached();
    let probe = breaker.admit().unwrap();
    assert!(breaker.admit().is_err());
    probe.settle(failing());
    assert!(breaker.admit().is_err());
}

#[tokio::test(start_paused = true)]
async fn late_results_change_nothing() {
    let breaker = closed();
    let mut late: Vec<Permit> = (0..20).map(|_| breaker.admit().unwrap()).collect();
    for _ in 0..FAILURES {
        breaker.admit().unwrap().settle(failing());
    }
    late.pop().unwrap().settle(Health::Success);
    assert!(breaker.admit().is_err(), "closed by an earlier call");
    sleep(FIRST_WAIT).await;
    breaker.admit().unwrap().settle(Health::Success);
    for permit in late {
        permit.settle(failing());
    }
    assert!(breaker.admit().is_ok(), "opened by earlier calls");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_are_one_failure() {
    let breaker = closed();
    let admit = |count: u32| -> Vec<Permit> {
        let permits = (0..count).map(|_| breaker.admit().unwrap());
        permits.collect()
    };
    for _ in 1..FAILURES {
        let together = admit(10 * FAILURES);
        for permit in together {
            permit.settle(failing());
        }
        assert!(!breaker.would_refuse(), "opened by one event");
    }
    breaker.admit().unwrap().settle(failing());
    assert!(breaker.would_refuse(), "it fails again and again");
    // Calls that are in flight together and fail one after another are not.
    sleep(FIRST_WAIT).await;
    breaker.admit().unwrap().settle(Health::Success);
    for permit in admit(FAILURES) {
        sleep(SAME_EVENT).await;
        permit.settle(failing());
    }
    assert!(breaker.would_refuse());
}

#[tokio::test(start_paused = true)]
async fn would_refuse_does_not_use_up_a_probe() {
    let breaker = after_failures(FAILURES);
    assert!(breaker.would_refuse());
    sleep(FIRST_WAIT).await;
    assert!(!breaker.would_refuse());
    let _probe = breaker.admit().unwrap();
    assert!(breaker.would_refuse());
}

/// An event in the life of a breaker.
#[derive(Debug, Clone)]
enum Step {
    Admit,
    /// Ends the permit at this index among the open ones, in one of four ways.
    Settle(prop::sample::Index, u8),
    /// Milliseconds.
    Wait(u64),
    Reached,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Admit),
        4 => (any::<prop::sample::Index>(), 0..4u8).prop_map(|(at, end)| Step::Settle(at, end)),
        1 => (0..40_000u64).prop_map(Step::Wait),
        1 => Just(Step::Reached),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Never two probes within [`LONGEST_WAIT`]; calls are refused only after five failures;
    /// successes and neutral results never open it.
    #[test]
    fn its_invariants_hold_for_any_sequence_of_events(steps in prop::collection::vec(step(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = closed();
            let mut out: Vec<(Permit, Instant)> = Vec::new();
            let mut failures = 0;
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
                        Err(_) => assert!(failures >= FAILURES, "refused without failures"),
                    },
                    Step::Settle(at, end) if !out.is_empty() => {
                        let (permit, _) = out.swap_remove(at.index(out.len()));
                        match end {
                            0 => permit.settle(Health::Success),
                            1 => permit.settle(Health::Neutral),
                            2 => drop(permit),
                            _ => {
                                failures += 1;
                                permit.settle(failing());
                            }
                        }
                    }
                    Step::Settle(..) => {}
                    Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
                    Step::Reached => breaker.reached(),
                }
            }
            // In any state, a call is admitted in the end.
            drop(out);
            sleep(LONGEST_WAIT).await;
            assert!(breaker.admit().is_ok());
        });
    }
}
