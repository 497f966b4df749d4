//! Runs the combinations: each on a real gateway, against a server that runs the tool and then answers
//! so.
//!
//! A gateway is started anew for a few calls to each backend, so that neither its breaker, nor its
//! retry budget, nor the pauses between its connections decide anything: at most four calls of a wave
//! fail, and a good one follows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::combination::{Combination, Server, combinations};
use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::rules::{RULES, rule_of};
use crate::verdict::{Client, Resent};

/// Threads, each with a gateway and its backends. Most of their time is waiting.
const WORKERS: usize = 4;
/// Backends of a gateway, of each kind of server.
const BACKENDS: usize = 8;
/// Calls to one backend at the same time: fewer than its breaker counts.
const WAVE: usize = 4;
/// Waves of calls to one backend before a new gateway is started.
const WAVES: usize = 4;
/// The configured retries: enough to tell them from a call that is sent again once.
const RETRIES: u64 = 2;
/// Failed combinations that are printed.
const SHOWN: usize = 40;

/// Combinations that one backend of one gateway is called with, by their index.
type Life = Vec<usize>;

/// What there is little of in the life of one backend.
enum Uses {
    /// Its retry budget.
    Budget,
    /// Its connection, which is lost. Connections keep a distance that grows.
    Connection,
    Nothing,
}

fn uses(combination: &Combination) -> Uses {
    let verdict = RULES[rule_of(combination)].verdict;
    match verdict.resent {
        Resent::Yes => Uses::Budget,
        Resent::IfSafe if combination.safe => Uses::Budget,
        Resent::Once | Resent::OnceIfSafe if verdict.client != Client::Answer => Uses::Connection,
        _ => Uses::Nothing,
    }
}

/// What all workers share.
struct Machine {
    combinations: Vec<Combination>,
    /// How often the server got, and ran, each of them.
    runs: Vec<AtomicU64>,
    lives: [Mutex<VecDeque<Life>>; 3],
    /// How often a call was sent again, by rule.
    resent: Vec<AtomicUsize>,
    failures: Mutex<Vec<(usize, String)>>,
}

impl Machine {
    fn new(combinations: Vec<Combination>) -> Self {
        let lives = Server::ALL.map(|server| {
            let (mut budget, mut connection, mut none) = (Vec::new(), Vec::new(), Vec::new());
            for (at, combination) in combinations.iter().enumerate() {
                if combination.server == server {
                    match uses(combination) {
                        Uses::Budget => budget.push(at),
                        Uses::Connection => connection.push(at),
                        Uses::Nothing => none.push(at),
                    }
                }
            }
            let rest = WAVE * (WAVES - 2);
            let parts = [(budget, WAVE), (connection, WAVE), (none, rest)];
            let count = parts.iter().map(|(all, size)| all.len().div_ceil(*size));
            let lives = (0..count.max().unwrap_or(0)).map(|n| {
                let part = |(all, size): &(Vec<usize>, usize)| {
                    all.chunks(*size).nth(n).unwrap_or_default().to_vec()
                };
                parts.iter().map(part).collect::<Vec<_>>().concat()
            });
            Mutex::new(lives.collect())
        });
        Self {
            runs: combinations.iter().map(|_| AtomicU64::new(0)).collect(),
            resent: RULES.iter().map(|_| AtomicUsize::new(0)).collect(),
            combinations,
            lives,
            failures: Mutex::default(),
        }
    }

    fn backend(self: &Arc<Self>, server: Server) -> FakeBackend {
        let machine = Arc::clone(self);
        let fake = FakeBackend::start()
            .tool("unsafe")
            .tool_with("safe", json!({ "annotations": { "readOnlyHint": true } }))
            .tool("fine")
            .without_recording()
            .respond_with(move |request| {
                let at = request.params()["arguments"]["combination"].as_u64()?;
                let at = usize::try_from(at).unwrap();
                machine.runs[at].fetch_add(1, Ordering::Relaxed);
                Some(machine.combinations[at].reply())
            });
        match server {
            Server::LegacyInSession => fake,
            Server::LegacyWithoutSession => fake.without_sessions(),
            Server::Modern => fake.modern(),
        }
    }

    /// Takes lives and runs them until there are none.
    fn work(self: &Arc<Self>) {
        let servers: Vec<(Server, FakeBackend)> = Server::ALL
            .into_iter()
            .flat_map(|server| (0..BACKENDS).map(move |_| server))
            .map(|server| (server, self.backend(server)))
            .collect();
        loop {
            let take = |(server, fake)| {
                let at = Server::ALL.iter().position(|known| known == server)?;
                let life = self.lives[at].lock().unwrap().pop_front()?;
                Some((fake, life))
            };
            let lives: Vec<(&FakeBackend, Life)> = servers
                .iter()
                .map(|(server, fake)| (server, fake))
                .filter_map(take)
                .collect();
            if lives.is_empty() {
                return;
            }
            self.run(&lives);
        }
    }

    /// One gateway, over these backends.
    fn run(&self, lives: &[(&FakeBackend, Life)]) {
        let mut toml = "[gateway]\ntool_names = \"prefixed\"\nstartup_wait_ms = 60000\n".to_owned();
        for (n, (fake, _)) in lives.iter().enumerate() {
            toml += &fake.entry(&format!("b{n}"), &format!("retries = {RETRIES}\n"));
        }
        let mut gateway = TestGateway::with_config(&toml);
        // A server's own errors pass unchanged, codes of the other era included.
        gateway.json_rpc_only();
        gateway.initialize();
        for wave in 0..WAVES {
            let mut calls = Vec::new();
            for (n, (_, life)) in lives.iter().enumerate() {
                for at in life.chunks(WAVE).nth(wave).unwrap_or_default() {
                    let combination = &self.combinations[*at];
                    if combination.modern_client {
                        gateway.modern(json!({}));
                    } else {
                        gateway.legacy();
                    }
                    let tool = if combination.safe { "safe" } else { "unsafe" };
                    let arguments = json!({ "combination": at });
                    calls.push((*at, gateway.start_call(&format!("b{n}__{tool}"), arguments)));
                }
            }
            for (at, id) in calls {
                self.check(at, &gateway.answer(id));
            }
            gateway.legacy();
            let good: Vec<u64> = (0..lives.len())
                .map(|n| gateway.start_call(&format!("b{n}__fine"), json!({})))
                .collect();
            for id in good {
                assert_eq!(gateway.answer(id).text(), "fine {}");
            }
        }
    }

    fn check(&self, at: usize, answer: &Answer) {
        let combination = &self.combinations[at];
        let rule = rule_of(combination);
        let verdict = RULES[rule].verdict;
        let sends = verdict.resent.sends(combination.safe, RETRIES);
        let runs = self.runs[at].load(Ordering::Relaxed);
        self.resent[rule].fetch_add(usize::from(runs > 1), Ordering::Relaxed);
        let got = match verdict.client {
            Client::Answer => is_own_answer(answer),
            Client::Error(executed, class) => is_error(answer, executed, class, sends),
        };
        let got = got.and_then(|()| match runs == sends {
            true => Ok(()),
            false => Err(format!("the tool ran {runs} times, not {sends}")),
        });
        if let Err(why) = got {
            let story = format!("{combination}: {why}\n    {}", answer.0.line);
            self.failures.lock().unwrap().push((rule, story));
        }
    }
}

/// The server's own response.
fn is_own_answer(answer: &Answer) -> Result<(), String> {
    match answer.0.json["error"]["data"]["source"] == "gateway" {
        true => Err("not the server's response".into()),
        false => Ok(()),
    }
}

/// An error of the gateway, whose words say the same as its data.
fn is_error(answer: &Answer, executed: &str, class: &str, sends: u64) -> Result<(), String> {
    let error = &answer.0.json["error"];
    let expected = json!([executed, class, sends]);
    let data = &error["data"];
    let got = json!([data["executed"], data["class"], data["attempts"]]);
    if data["source"] != "gateway" || got != expected {
        return Err(format!("{got}, not {expected}"));
    }
    let message = error["message"].as_str().unwrap_or_default();
    let words = match executed {
        "no" => "the tool did not run",
        _ => "the tool MAY HAVE RUN",
    };
    match message.contains(words) {
        true => Ok(()),
        false => Err(format!("the message does not say {words:?}")),
    }
}

#[test]
fn every_answer_gets_its_verdict() {
    // Nothing reads the log here, and a test client would scan each line of it.
    let _ = tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new());
    let begun = Instant::now();
    let whole = std::env::var("EVIDENCE").is_ok_and(|what| what == "all");
    let machine = Arc::new(Machine::new(combinations(whole)));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| machine.work());
        }
    });
    let failures = machine.failures.lock().unwrap();
    let mut counts = vec![[0; 3]; RULES.len()];
    for combination in &machine.combinations {
        counts[rule_of(combination)][0] += 1;
    }
    for (rule, counts) in counts.iter_mut().enumerate() {
        counts[1] = machine.resent[rule].load(Ordering::Relaxed);
        counts[2] = failures
            .iter()
            .filter(|(failed, _)| *failed == rule)
            .count();
    }
    println!("rule  combinations  ran again  wrong");
    for (rule, [all, resent, wrong]) in counts.iter().enumerate() {
        println!("{:>4}  {all:>12}  {resent:>9}  {wrong:>5}", rule + 1);
    }
    let all = machine.combinations.len();
    let runs: u64 = machine
        .runs
        .iter()
        .map(|runs| runs.load(Ordering::Relaxed))
        .sum();
    println!(
        "{all} combinations, {runs} runs, {} wrong, {:.1} s",
        failures.len(),
        begun.elapsed().as_secs_f64()
    );
    let unused = counts.iter().position(|[all, ..]| *all == 0);
    assert_eq!(unused, None, "a rule that nothing tests");
    let stories: Vec<&str> = failures.iter().map(|(_, story)| story.as_str()).collect();
    let shown = &stories[..stories.len().min(SHOWN)];
    assert!(
        shown.is_empty(),
        "{} wrong:\n{}",
        stories.len(),
        shown.join("\n")
    );
}
