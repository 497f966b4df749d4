use std::io::{BufRead, BufReader, Read};
use std::thread;

use bytes::Bytes;
use futures_util::FutureExt;

use super::outbox::SLOW;
use super::queued::{CHUNK, SMALL_WRITE};
use super::*;
use crate::call_report::BackendId;

#[tokio::test]
async fn the_writer_ends_after_writing_all_lines() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
    let large = "x".repeat(3 * CHUNK);
    let reading = thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        all
    });
    outbox.push(Bytes::from_static(b"one"));
    outbox.push(Bytes::from(large.clone()));
    outbox.push(Bytes::from_static(b"two"));
    outbox.close();
    writer.join(Duration::from_secs(10)).await.unwrap();
    assert_eq!(reading.join().unwrap(), format!("one\n{large}\ntwo\n"));
}

#[tokio::test]
async fn lines_of_any_size_are_written_whole_and_in_order() {
    let sizes = [
        1,
        CHUNK / 2,
        CHUNK - 2,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        3 * CHUNK,
    ];
    let (reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
    let reading = thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        lines.collect::<Vec<String>>()
    });
    let mut expected = Vec::new();
    for first in sizes {
        for second in sizes {
            for (digit, size) in [("1", first), ("2", second)] {
                let text = digit.repeat(size);
                let parts = [line("<"), line(&text), line(">")];
                outbox.push_parts(parts);
                expected.push(format!("<{text}>"));
            }
            outbox.flush();
        }
    }
    outbox.close();
    writer.join(Duration::from_secs(10)).await.unwrap();
    assert!(reading.join().unwrap() == expected, "not what was pushed");
    assert_eq!(outbox.queue.lock().bytes, 0);
}

fn line(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test]
async fn fault_14_a_slow_client_misses_best_effort_lines_and_never_a_response() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_lines(Box::new(writer), Budget::new(usize::MAX));
    outbox.push(line(&"f".repeat(2 * SLOW)));
    outbox.flush();
    // The first byte was read: the writer is writing this line and blocks.
    reader.read_exact(&mut [0]).unwrap();
    for step in 0..1000 {
        outbox.push_with_policy(line(&format!("p1 {step}")), DropPolicy::Coalesce(1));
        outbox.push_with_policy(line(&format!("p2 {step}")), DropPolicy::Coalesce(2));
        outbox.push_with_policy(line("log"), DropPolicy::BestEffort);
    }
    outbox.push(line("answer"));
    outbox.close();
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    assert_eq!(lines[1..], ["p1 999", "p2 999", "answer"]);
    writer.join(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn lines_with_a_drop_policy_leave_room_for_responses() {
    const LIMIT: usize = 64 * 1024;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let budget = Budget::new(LIMIT);
    let (outbox, mut writer) = write_lines(Box::new(writer), budget.clone());
    let line = |digit: u64| Bytes::from(digit.to_string().repeat(LIMIT / 8));
    let answer = budget.charge_bytes(line(0)).unwrap();
    let kept: Vec<bool> = (1..=30)
        .map(|number| match number % 3 {
            0 => outbox.push_with_policy(line(1), DropPolicy::Keep),
            1 => outbox.push_with_policy(line(1), DropPolicy::BestEffort),
            _ => outbox.push_with_policy(line(1), DropPolicy::Coalesce(number)),
        })
        .collect();
    assert!(kept[0] && !kept[29], "{kept:?}");
    outbox.push(answer);
    assert!(writer.ended().now_or_never().is_none(), "it is stuck");
    outbox.close();
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    let lines = all.lines().count();
    assert_eq!(lines, kept.into_iter().filter(|kept| *kept).count() + 1);
    assert!(all.ends_with("00\n"), "the answer is the last");
}

#[tokio::test]
async fn fault_95_answers_go_first_and_no_source_takes_the_room_of_others() {
    use NoticeSource::{Backend, Gateway};

    const NOTICES: usize = 2_000;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let budget = Budget::new(8 * SLOW);
    let (outbox, mut writer) = write_lines(Box::new(writer), budget.clone());
    outbox.push(line(&"f".repeat(2 * SLOW)));
    outbox.flush();
    reader.read_exact(&mut [0]).unwrap();
    let [bad, good] = [1, 2].map(|id| Backend(BackendId::new(id)));
    let coalesce = DropPolicy::Coalesce;
    let padding = "-".repeat(1024);
    let kept = (0..NOTICES as u64).filter(|number| {
        let unique = line(&format!("bad {number} {padding}"));
        outbox.notify(bad, unique, coalesce(*number))
    });
    let kept = kept.count();
    assert!((100..=256).contains(&kept), "{kept} notices wait");
    for _ in 0..10 {
        assert!(outbox.notify(good, line("good"), coalesce(1_000_000)));
        assert!(outbox.notify(Gateway, line("changed"), coalesce(1_000_001)));
    }
    assert!(!outbox.notify(good, line("log"), DropPolicy::BestEffort));
    let answer = budget
        .backend_share()
        .charge_bytes(line(&"a".repeat(4 * SLOW)));
    outbox.push(answer.unwrap());
    outbox.close();
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    writer.join(Duration::from_secs(10)).await.unwrap();
    assert!(lines[1].starts_with("aaa"), "the answer waits for notices");
    assert_eq!(lines.len(), 2 + kept + 2);
    assert!(lines.ends_with(&["good".to_owned(), "changed".to_owned()]));
    assert_eq!((outbox.queue.lock().bytes, budget.held()), (0, 0));
}

/// A client may wait for the final state of a task, and for nothing else of it.
#[tokio::test]
async fn the_newest_state_of_each_task_comes_however_large_it_is() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let budget = Budget::new(64 * SLOW);
    let (outbox, mut writer) = write_lines(Box::new(writer), budget.clone());
    outbox.push(line(&"f".repeat(SLOW / 2)));
    outbox.flush();
    reader.read_exact(&mut [0]).unwrap();
    let backend = NoticeSource::Backend(BackendId::new(1));
    let padding = "-".repeat(1024);
    for step in 0..1_000 {
        for task in 0..4 {
            let state = line(&format!("{task} {step} {padding}"));
            assert!(outbox.notify(backend, state, DropPolicy::Newest(task)));
        }
    }
    let waiting = outbox.queue.lock().bytes;
    assert!(waiting < 5 * SLOW, "{waiting} bytes wait");
    for task in 0..4 {
        let last = line(&format!("{task} last {}", "x".repeat(300 * 1024)));
        assert!(outbox.notify(backend, last, DropPolicy::Newest(task)));
    }
    outbox.close();
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    writer.join(Duration::from_secs(10)).await.unwrap();
    for task in 0..4 {
        let of_task = |line: &&String| line.starts_with(&format!("{task} "));
        let newest = lines.iter().rfind(of_task).unwrap();
        assert!(newest.starts_with(&format!("{task} last ")), "{newest:.40}");
    }
    assert_eq!((outbox.queue.lock().bytes, budget.held()), (0, 0));
}

/// The first of a source has room, whatever its size.
#[tokio::test]
async fn a_large_line_comes_where_no_other_of_its_source_waits() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_lines(Box::new(writer), Budget::new(64 * SLOW));
    let large = line(&"x".repeat(300 * 1024));
    let backend = NoticeSource::Backend(BackendId::new(1));
    let kept = [(); 3].map(|()| outbox.notify(backend, large.clone(), DropPolicy::Coalesce(1)));
    assert_eq!(
        kept, [true; 3],
        "a further one replaces it, if it still waits"
    );
    outbox.close();
    let lines = BufReader::new(reader).lines().count();
    writer.join(Duration::from_secs(10)).await.unwrap();
    assert!((1..=3).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn fault_95_a_queued_answer_stays_charged_to_its_backend() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let budget = Budget::new(8 * SLOW);
    let (outbox, mut writer) = write_lines(Box::new(writer), budget.clone());
    outbox.push(line(&"f".repeat(2 * SLOW)));
    outbox.flush();
    reader.read_exact(&mut [0]).unwrap();
    let share = budget.backend_share();
    outbox.push(share.charge_bytes(line(&"a".repeat(8 * 1024))).unwrap());
    assert_eq!(share.held(), 8 * 1024);
    outbox.close();
    let reading = thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    writer.join(Duration::from_secs(10)).await.unwrap();
    reading.join().unwrap().unwrap();
    assert_eq!(share.held(), 0);
}

/// Takes one write in each `pace`, whatever its size.
struct SlowReader {
    pace: Duration,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for SlowReader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        thread::sleep(self.pace);
        self.taken.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const LIMIT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn fault_97_a_client_that_reads_slowly_is_not_stuck() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let reader = SlowReader {
        pace: LIMIT / 4,
        taken: Arc::clone(&taken),
    };
    let (outbox, mut writer) = write_within(LIMIT, Box::new(reader), Budget::new(usize::MAX));
    // In writes of 4 KiB it takes four times the limit.
    let large = "x".repeat(16 * SMALL_WRITE);
    outbox.push(line(&large));
    outbox.flush();
    for _ in 0..30 {
        tokio::time::sleep(LIMIT / 10).await;
        outbox.push(line("small"));
        outbox.flush();
        assert!(writer.ended().now_or_never().is_none(), "it is stuck");
    }
    outbox.close();
    writer.join(LIMIT).await.unwrap();
    let all = String::from_utf8(std::mem::take(&mut *taken.lock())).unwrap();
    assert!(all == format!("{large}\n{}", "small\n".repeat(30)));
}

#[tokio::test]
async fn fault_97_what_a_client_does_not_take_is_told() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_within(LIMIT, Box::new(writer), Budget::new(usize::MAX));
    outbox.push(line(&"f".repeat(2 * SLOW)));
    outbox.flush();
    outbox.close();
    let left = writer.join(LIMIT).await.unwrap_err();
    assert!(left > SLOW, "{left}");
}

#[tokio::test]
async fn fault_14_a_client_that_takes_nothing_for_too_long_is_stuck() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_within(LIMIT, Box::new(writer), Budget::new(usize::MAX));
    outbox.push(line(&"f".repeat(2 * SLOW)));
    outbox.flush();
    tokio::time::sleep(2 * LIMIT).await;
    outbox.push(line("small"));
    let WriteEnd::Stuck { waiting } = writer.ended().await else {
        panic!("the queue is not closed")
    };
    assert!(waiting > SLOW);
}

#[tokio::test]
async fn fault_14_a_queue_past_its_limit_is_stuck() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let (outbox, mut writer) = write_lines(Box::new(writer), Budget::new(SLOW));
    outbox.push(line(&"f".repeat(2 * SLOW)));
    let WriteEnd::Stuck { waiting } = writer.ended().await else {
        panic!("the queue is not closed")
    };
    assert!(waiting > SLOW);
}
