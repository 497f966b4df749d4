use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use reqwest::header::HeaderValue;
use tokio::time;

use super::*;
use crate::backend::backoff::STEADY;

const LONG: Duration = Duration::from_secs(3600);
const ALL: [RetryClass; 8] = [
    RetryClass::NotSent,
    RetryClass::NotTaken { retry_after: None },
    RetryClass::NotTaken {
        retry_after: Some(Duration::from_secs(2)),
    },
    RetryClass::Unavailable,
    RetryClass::MayHaveRun,
    RetryClass::Renewed { by_status: true },
    RetryClass::Renewed { by_status: false },
    RetryClass::Final,
];

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(7)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How often a call is sent again when every attempt ends the same.
fn retries_of(class: RetryClass, replay: Replay) -> usize {
    let budget = RetryBudget::new();
    let mut attempts = Attempts::new(replay, 3, &budget);
    (0..10)
        .take_while(|_| attempts.after(class, LONG, &mut rng()) != RetryDecision::GiveUp)
        .count()
}

/// Faults 38, 87 and 88: the table, row by row.
#[tokio::test]
async fn what_is_sent_again_after_what() {
    let rows = [
        (RetryClass::NotSent, 3, 3),
        (RetryClass::NotTaken { retry_after: None }, 3, 3),
        (
            RetryClass::NotTaken {
                retry_after: Some(secs(1)),
            },
            3,
            3,
        ),
        (RetryClass::Unavailable, 3, 0),
        (RetryClass::MayHaveRun, 3, 0),
        (RetryClass::Renewed { by_status: true }, 1, 1),
        (RetryClass::Renewed { by_status: false }, 1, 0),
        (RetryClass::Final, 0, 0),
    ];
    for (class, safe, not_safe) in rows {
        assert_eq!(retries_of(class, Replay::Safe), safe, "safe, {class:?}");
        assert_eq!(
            retries_of(class, Replay::Unsafe),
            not_safe,
            "unsafe, {class:?}"
        );
    }
}

#[test]
fn a_tool_is_safe_by_its_rule_or_its_annotations() {
    for (rule, hinted, replay) in [
        (RetryTools::Safe, true, Replay::Safe),
        (RetryTools::Safe, false, Replay::Unsafe),
        (RetryTools::Always, false, Replay::Safe),
        (RetryTools::Never, true, Replay::Unsafe),
    ] {
        assert_eq!(Replay::of_tool(rule, hinted), replay, "{rule:?}, {hinted}");
    }
}

/// Fault 80: a hundred calls that lost their session together are all sent again.
#[tokio::test]
async fn renewals_need_no_attempts_and_no_budget() {
    let budget = RetryBudget::new();
    while budget.withdraw() {}
    for _ in 0..100 {
        let mut attempts = Attempts::new(Replay::Unsafe, 0, &budget);
        let renewed = RetryClass::Renewed { by_status: true };
        let at_once = RetryDecision::Retry {
            delay: Duration::ZERO,
        };
        assert_eq!(attempts.after(renewed, LONG, &mut rng()), at_once);
        assert_eq!(attempts.retried(), 0);
        assert_eq!(
            attempts.after(renewed, LONG, &mut rng()),
            RetryDecision::GiveUp
        );
    }
}

#[tokio::test]
async fn a_renewal_leaves_the_other_attempts() {
    let budget = RetryBudget::new();
    let mut attempts = Attempts::new(Replay::Unsafe, 1, &budget);
    let mut again = |class| attempts.after(class, LONG, &mut rng()) != RetryDecision::GiveUp;
    assert!(again(RetryClass::NotSent));
    assert!(again(RetryClass::Renewed { by_status: true }));
    assert!(!again(RetryClass::NotSent));
}

/// Fault 90.
#[tokio::test]
async fn no_wait_reaches_past_the_deadline() {
    let budget = RetryBudget::new();
    let mut attempts = Attempts::new(Replay::Safe, 3, &budget);
    let left = Duration::from_millis(100);
    assert_eq!(
        attempts.after(RetryClass::NotSent, left, &mut rng()),
        RetryDecision::GiveUp
    );
    let left = Duration::from_millis(151);
    assert!(matches!(
        attempts.after(RetryClass::NotSent, left, &mut rng()),
        RetryDecision::Retry { .. }
    ));
}

/// Fault 37.
#[tokio::test]
async fn retry_after_is_honoured_or_ends_the_call() {
    let after = |asked, left| {
        let budget = RetryBudget::new();
        let mut attempts = Attempts::new(Replay::Unsafe, 3, &budget);
        let class = RetryClass::NotTaken {
            retry_after: Some(asked),
        };
        attempts.after(class, left, &mut rng())
    };
    assert_eq!(
        after(secs(2), secs(10)),
        RetryDecision::Retry { delay: secs(2) }
    );
    assert_eq!(
        after(secs(30), LONG),
        RetryDecision::Retry { delay: secs(30) }
    );
    assert_eq!(after(secs(31), LONG), RetryDecision::GiveUp);
    assert_eq!(after(secs(10), secs(10)), RetryDecision::GiveUp);
    assert_eq!(after(secs(1_000_000_000), LONG), RetryDecision::GiveUp);
    // "At once" still backs off, so that three attempts aren't spent in a millisecond.
    let RetryDecision::Retry { delay } = after(Duration::ZERO, LONG) else {
        panic!("not sent again");
    };
    assert!(delay >= Duration::from_millis(100));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = SystemTime::UNIX_EPOCH + secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
    let read = |value: &str| retry_after(&HeaderValue::from_str(value).unwrap(), now);
    for (value, expected) in [
        ("0", Some(secs(0))),
        ("120", Some(secs(120))),
        (" 5 ", Some(secs(5))),
        ("1000000000", Some(secs(1_000_000_000))),
        ("99999999999999999999999", Some(secs(u64::MAX))),
        ("Sun, 06 Nov 1994 08:50:07 GMT", Some(secs(30))),
        ("Sunday, 06-Nov-94 08:50:07 GMT", Some(secs(30))),
        ("Sun Nov  6 08:50:07 1994", Some(secs(30))),
        ("Sun, 06 Nov 1994 08:49:07 GMT", Some(secs(0))),
        ("-5", None),
        ("+5", None),
        ("1.5", Some(secs(2))),
        ("1.0", Some(secs(1))),
        ("0.2", Some(secs(1))),
        ("2 seconds", Some(secs(2))),
        ("2s", Some(secs(2))),
        ("1.5 Sec", Some(secs(2))),
        ("2 minutes", None),
        ("2ms", None),
        (".5", None),
        ("1.", None),
        ("1.2.3", None),
        ("1,5", None),
        ("seconds", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("Sun, 99 Nov 1994 08:49:07 GMT", None),
    ] {
        assert_eq!(read(value), expected, "{value:?}");
    }
    let not_text = HeaderValue::from_bytes(b"\xFF5").unwrap();
    assert_eq!(retry_after(&not_text, now), None);
}

/// Fault 91.
#[test]
fn backoff_doubles_with_jitter_and_saturates() {
    let mut rng = rng();
    for (attempt, base) in [(0, 100), (1, 200), (2, 400), (7, 12_800)] {
        let waits: Vec<u128> = (0..1000)
            .map(|_| backoff(attempt, &mut rng).as_millis())
            .collect();
        assert!(
            waits
                .iter()
                .all(|wait| (base..=base * 3 / 2).contains(wait))
        );
        assert!(waits.iter().min().unwrap() < &(base * 11 / 10), "no jitter");
        assert!(waits.iter().max().unwrap() > &(base * 14 / 10), "no jitter");
    }
    for attempt in [9, 31, 32, 100, u32::MAX] {
        assert_eq!(backoff(attempt, &mut rng), secs(30), "attempt {attempt}");
    }
}

#[test]
fn reconnects_double_to_a_minute_and_start_over_after_success() {
    let mut rng = rng();
    let mut reconnect = Backoff::new(Series::RECONNECT);
    for base in [1, 2, 4, 8, 16, 32] {
        let delay = reconnect.next_delay(&mut rng);
        assert!(delay >= secs(base) && delay <= secs(base * 3 / 2 + 1));
    }
    for _ in 0..100 {
        assert_eq!(reconnect.next_delay(&mut rng), secs(60));
    }
    reconnect.lasted(STEADY - Duration::from_millis(1));
    assert_eq!(reconnect.next_delay(&mut rng), secs(60));
    reconnect.lasted(STEADY);
    assert!(reconnect.next_delay(&mut rng) < secs(2));
}

/// Fault 98.
#[test]
fn every_series_has_a_least_wait_and_grows_to_its_bound() {
    let mut rng = rng();
    for series in [
        Series::CALL,
        Series::RECONNECT,
        Series::ON_DEMAND,
        Series::STREAM,
        Series::LISTS,
        Series::COMMAND,
    ] {
        let first = series.delay(0, &mut rng);
        assert!(first >= Duration::from_millis(100), "{series:?}");
        let later = series.delay(3, &mut rng);
        assert!(later > 2 * first, "{series:?} grows: {first:?}, {later:?}");
        let mut backoff = Backoff::new(series);
        (0..50).for_each(|_| backoff.count());
        let most = backoff.next_delay(&mut rng);
        assert_eq!(most, series.delay(u32::MAX, &mut rng), "{series:?}");
        assert!(most >= Duration::from_secs(1) && most <= secs(300));
        assert_eq!(backoff.waits(), 51);
    }
}

/// Fault 89: one caller after another, and no time passes.
#[tokio::test(start_paused = true)]
async fn a_dead_backend_costs_a_fifth_of_its_calls_and_ten_more() {
    let budget = RetryBudget::new();
    let mut extra = 0;
    for _ in 0..1000 {
        let mut attempts = Attempts::new(Replay::Unsafe, 3, &budget);
        while attempts.after(RetryClass::NotSent, LONG, &mut rng()) != RetryDecision::GiveUp {
            extra += 1;
        }
    }
    assert_eq!(extra, 1000 / 5 + 10);
}

/// Fault 89: over ten seconds.
#[tokio::test(start_paused = true)]
async fn a_dead_backend_costs_ten_a_second_besides() {
    let budget = RetryBudget::new();
    let mut extra = 0;
    for _ in 0..1000 {
        time::advance(Duration::from_millis(10)).await;
        budget.deposit();
        while budget.withdraw() {
            extra += 1;
        }
    }
    assert_eq!(extra, 1000 / 5 + 10 + 10 * 10);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_bounded_however_long_all_went_well() {
    let drained = |budget: &RetryBudget| (0..1000).take_while(|_| budget.withdraw()).count();
    let budget = RetryBudget::new();
    assert_eq!(drained(&budget), 10);
    time::advance(LONG).await;
    assert_eq!(drained(&budget), 10);
    for _ in 0..100_000 {
        budget.deposit();
    }
    time::advance(LONG).await;
    assert_eq!(drained(&budget), 100);
    assert_eq!(drained(&budget), 0);
    time::advance(Duration::from_millis(100)).await;
    assert_eq!(drained(&budget), 1);
}

#[tokio::test(start_paused = true)]
async fn threads_together_get_no_more_than_there_is() {
    let budget = RetryBudget::new();
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..100).filter(|_| budget.withdraw()).count()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(won, 10);
}

#[tokio::test]
async fn giving_up_for_lack_of_time_or_attempts_costs_no_budget() {
    let budget = RetryBudget::new();
    for _ in 0..100 {
        Attempts::new(Replay::Safe, 0, &budget).after(RetryClass::NotSent, LONG, &mut rng());
        Attempts::new(Replay::Safe, 3, &budget).after(
            RetryClass::NotSent,
            Duration::ZERO,
            &mut rng(),
        );
    }
    assert!(budget.withdraw());
    assert!(budget.fifths.load(Relaxed) >= 40);
}

proptest! {
    /// Fault 87: whatever was seen before, a call that is not known to be safe is never sent
    /// again once it may have run.
    #[test]
    fn unsafe_calls_never_run_twice(
        class in prop::collection::vec(prop::sample::select(&ALL[..]), 1..10),
        retries in 0u32..20,
        left_ms in 0u64..100_000,
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let budget = RetryBudget::new();
        let mut attempts = Attempts::new(Replay::Unsafe, retries, &budget);
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut left = Duration::from_millis(left_ms);
        for class in class {
            match attempts.after(class, left, &mut rng) {
                RetryDecision::GiveUp => break,
                RetryDecision::Retry { delay } => {
                    let ran_or_final = matches!(
                        class,
                        RetryClass::MayHaveRun
                            | RetryClass::Unavailable
                            | RetryClass::Renewed { by_status: false }
                            | RetryClass::Final
                    );
                    prop_assert!(!ran_or_final, "sent again after {class:?}");
                    prop_assert!(delay.is_zero() || delay < left);
                    prop_assert!(attempts.retried() <= retries);
                    left = left.saturating_sub(delay);
                }
            }
        }
    }
}
