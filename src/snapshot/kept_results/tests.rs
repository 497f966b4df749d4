use super::*;

fn text(bytes: usize) -> LargeText {
    LargeText::over(0, ["x".repeat(bytes)].into_iter()).unwrap()
}

fn keep(kept: &KeptResults, bytes: usize) -> Option<String> {
    let text = text(bytes);
    let charge = kept.reserve(text.held())?;
    kept.keep(text, 256, charge)
}

#[test]
fn where_results_are_limited_no_longer_all_are_freed_and_none_is_kept() {
    let budget = Budget::new(400_000);
    let kept = KeptResults::new(&budget);
    let handle = keep(&kept, 30_000).unwrap();
    kept.limit_task("t".to_owned(), Some(300));
    // A call of before the change is about to keep its result.
    let late = text(10_000);
    let charge = kept.reserve(late.held()).unwrap();
    kept.set_limited(false);
    assert!(kept.is_closed());
    assert_eq!(kept.keep(late, 256, charge), None);
    assert_eq!(keep(&kept, 10), None);
    assert_eq!((budget.held(), kept.task_limit("t")), (0, None));
    kept.set_limited(true);
    assert!(!kept.is_closed() && kept.get(&handle).is_none());
    let handle = keep(&kept, 10).unwrap();
    kept.set_limited(true);
    assert!(kept.get(&handle).is_some());
}

#[test]
fn the_least_recently_read_goes_first() {
    let budget = Budget::new(400_000);
    let kept = KeptResults::new(&budget);
    let handles: Vec<String> = (0..3).map(|_| keep(&kept, 30_000).unwrap()).collect();
    assert_eq!(budget.held(), 3 * text(30_000).held());
    assert!(kept.get(&handles[0]).is_some());
    let newest = keep(&kept, 30_000).unwrap();
    assert!(kept.get(&handles[1]).is_none());
    for handle in [&handles[0], &handles[2], &newest] {
        assert_eq!(kept.get(handle).unwrap().text.len(), 30_000);
    }
    assert_eq!(budget.held(), 3 * text(30_000).held());
}

#[test]
fn what_is_larger_than_their_share_is_not_kept_and_costs_no_other() {
    let budget = Budget::new(400_000);
    let kept = KeptResults::new(&budget);
    let handle = keep(&kept, 50_000).unwrap();
    assert_eq!(keep(&kept, 100_001), None);
    assert!(kept.get(&handle).is_some());
    assert!(keep(&kept, 99_000).is_some());
    assert!(kept.get(&handle).is_none());
}

#[test]
fn where_the_budget_is_used_up_nothing_is_kept() {
    let budget = Budget::new(400_000);
    let kept = KeptResults::new(&budget);
    let mut others = budget.backend_share().charge();
    others.cover(280_000).unwrap();
    let first = keep(&kept, 80_000).unwrap();
    // The first one makes room.
    let second = keep(&kept, 90_000).unwrap();
    assert!(kept.get(&first).is_none() && kept.get(&second).is_some());
    others.add_unchecked(110_000);
    assert_eq!(keep(&kept, 20_000), None);
    assert!(kept.get(&second).is_some(), "it makes no room");
}

#[test]
fn blocks_count_beside_their_text() {
    let blocks = 30_000;
    let text = LargeText::over(0, std::iter::repeat_n("a".to_owned(), blocks)).unwrap();
    assert!(text.held() > 20 * text.len());
    let budget = Budget::new(400_000);
    assert!(KeptResults::new(&budget).reserve(text.held()).is_none());
}

#[test]
fn small_ones_are_bounded_by_their_number() {
    let kept = KeptResults::new(&Budget::new(400_000));
    let handles: Vec<String> = (0..=MAX_RESULTS)
        .map(|_| keep(&kept, 10).unwrap())
        .collect();
    assert!(kept.get(&handles[0]).is_none());
    assert!(handles[1..].iter().all(|handle| kept.get(handle).is_some()));
}

#[test]
fn limits_of_tasks_are_bounded_by_their_number_and_by_the_length_of_ids() {
    let kept = KeptResults::new(&Budget::new(400_000));
    kept.limit_task("x".repeat(MAX_TASK_ID + 1), Some(1));
    assert!(kept.task_limits.lock().is_empty());
    for at in 0..=MAX_TASKS {
        kept.limit_task(at.to_string(), Some(at));
        kept.limit_task(at.to_string(), None);
    }
    assert_eq!(kept.task_limit("0"), None);
    assert_eq!(kept.task_limit("1"), Some(None));
    assert_eq!(kept.task_limits.lock().len(), MAX_TASKS);
}
