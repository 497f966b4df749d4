//! `Retry-After` (RFC 9110, section 10.2.3): no wait is longer than 30 s or than the time left.

use std::time::{Duration, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use reqwest::header::HeaderValue;
use sentinel_gateway::backend::retry::{
    Attempts, Replay, RetryBudget, RetryClass, RetryDecision, retry_after, wait_for_retry_after,
};

const LONGEST: Duration = Duration::from_secs(30);
const LEFT: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_secs(5),
    Duration::from_secs(31),
    Duration::MAX,
];

pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let requested = retry_after(&value, now);
    if let Ok(text) = value.to_str()
        && let Ok(seconds) = text.trim().parse::<u32>()
        && !text.contains('+')
    {
        assert_eq!(requested, Some(Duration::from_secs(seconds.into())));
    }
    for left in LEFT {
        if let Some(requested) = requested {
            let wait = wait_for_retry_after(requested, left);
            assert_eq!(wait.is_some(), requested <= LONGEST && requested < left);
            assert!(wait.is_none_or(|wait| wait == requested));
        }
        let budget = RetryBudget::new();
        let mut call = Attempts::new(Replay::Unsafe, u32::MAX, &budget);
        let class = RetryClass::NotTaken {
            retry_after: requested,
        };
        let mut rng = SmallRng::seed_from_u64(data.len() as u64);
        for _ in 0..3 {
            if let RetryDecision::Retry { delay } = call.after(class, left, &mut rng) {
                assert!(delay <= LONGEST && delay < left, "{delay:?} of {left:?}");
                assert!(
                    requested.is_none_or(|requested| requested <= delay),
                    "too early"
                );
            }
        }
    }
}
