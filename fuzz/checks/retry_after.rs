//! `Retry-After`: whatever it says, no wait is longer than 30 s or than the time that is left.

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
    let asked = retry_after(&value, now);
    if let Ok(text) = value.to_str()
        && let Ok(seconds) = text.trim().parse::<u32>()
        && !text.contains('+')
    {
        assert_eq!(asked, Some(Duration::from_secs(seconds.into())));
    }
    for left in LEFT {
        if let Some(asked) = asked {
            let wait = wait_for_retry_after(asked, left);
            assert_eq!(wait.is_some(), asked <= LONGEST && asked < left);
            assert!(wait.is_none_or(|wait| wait == asked));
        }
        let budget = RetryBudget::new();
        let mut call = Attempts::new(Replay::Unsafe, u32::MAX, &budget);
        let seen = RetryClass::NotTaken { retry_after: asked };
        let mut rng = SmallRng::seed_from_u64(data.len() as u64);
        for _ in 0..3 {
            if let RetryDecision::Retry { delay } = call.after(seen, left, &mut rng) {
                assert!(delay <= LONGEST && delay < left, "{delay:?} of {left:?}");
                assert!(asked.is_none_or(|asked| asked <= delay), "too early");
            }
        }
    }
}
