//! Backends that are several replicas behind a load balancer, one of which is killed under load.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::json;

use crate::common::PATIENCE;
use crate::common::balancer::Balancer;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::reply::Reply;

/// Calls that wait for the replicas when one of them is killed.
const HELD: u64 = 20;
/// Calls before and after that.
const CALLS: u64 = 200;
const PENDING: u64 = 10;

/// Two of them, with a tool that may run twice and one that may not.
fn replicas(is_modern: bool) -> [FakeBackend; 2] {
    [(); 2].map(|()| {
        let replica = FakeBackend::start();
        let replica = if is_modern { replica.modern() } else { replica };
        replica
            .tool("act")
            .tool_with("look", json!({ "annotations": { "readOnlyHint": true } }))
    })
}

/// How often each call has reached a replica, by its number.
fn arrivals(replicas: &[FakeBackend]) -> HashMap<u64, usize> {
    let mut arrivals = HashMap::new();
    for replica in replicas {
        for call in replica.requests_of("tools/call") {
            let number = call.params()["arguments"]["n"].as_u64().unwrap();
            *arrivals.entry(number).or_default() += 1;
        }
    }
    arrivals
}

/// What became of calls of one tool.
#[derive(Default)]
struct Told {
    answered: Vec<u64>,
    /// With what the error says of whether the tool ran.
    failed: Vec<(u64, String)>,
}

/// Makes calls with these numbers, [`PENDING`] at a time.
fn load(gateway: &mut TestGateway, tool: &str, numbers: std::ops::Range<u64>, told: &mut Told) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(PENDING as usize) {
        let calls: Vec<(u64, u64)> = some
            .iter()
            .map(|number| (*number, gateway.start_call(tool, json!({ "n": number }))))
            .collect();
        for (number, id) in calls {
            told.read(gateway, number, id);
        }
    }
}

impl Told {
    fn read(&mut self, gateway: &mut TestGateway, number: u64, id: u64) {
        let answer = gateway.answer(id);
        if answer.0.json.get("error").is_some() {
            let executed = answer.gateway_error().1.to_owned();
            self.failed.push((number, executed));
        } else {
            answer.text();
            self.answered.push(number);
        }
    }
}

/// Kills the first replica while both hold calls, and more come. Returns how many calls of the tool that may not run
/// twice were lost, which is how many the killed one had.
fn killed_under_load(balancer: &Balancer, replicas: &[FakeBackend; 2]) -> usize {
    let entry = format!(
        "[[backends]]\nname = \"replicas\"\nurl = \"{}\"\nretries = 3\n",
        balancer.url()
    );
    let mut gateway = TestGateway::with_config(&entry);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["act", "look"]);
    let (mut acts, mut looks) = (Told::default(), Told::default());
    load(&mut gateway, "act", 0..CALLS, &mut acts);
    assert_eq!(acts.failed.len(), 0, "without a fault");

    let gate = Gate::new();
    for replica in replicas {
        for tool in ["act", "look"] {
            replica.always_tool(tool, Reply::text("at last").after(&gate));
        }
    }
    let held: Vec<(bool, u64, u64)> = (0..2 * HELD)
        .map(|at| {
            let (is_act, number) = (at % 2 == 0, CALLS + at);
            let tool = if is_act { "act" } else { "look" };
            (
                is_act,
                number,
                gateway.start_call(tool, json!({ "n": number })),
            )
        })
        .collect();
    gate.wait_for(2 * HELD as usize);
    let of_killed = arrivals(&replicas[..1]);
    replicas[0].go_down();
    gate.open();
    for (is_act, number, id) in held {
        let told = if is_act { &mut acts } else { &mut looks };
        told.read(&mut gateway, number, id);
    }
    let begun = Instant::now();
    let after = CALLS + 2 * HELD;
    load(&mut gateway, "act", after..after + CALLS, &mut acts);
    load(
        &mut gateway,
        "look",
        after + CALLS..after + 2 * CALLS,
        &mut looks,
    );
    assert!(begun.elapsed() < PATIENCE);

    // What is safe to repeat is repeated at the other replica.
    assert_eq!(looks.failed, [], "calls that may run twice");
    let all = arrivals(replicas);
    let count = |number: &u64| all.get(number).copied().unwrap_or_default();
    for number in &acts.answered {
        assert_eq!(count(number), 1, "call {number} was answered");
    }
    for (number, executed) in &acts.failed {
        assert!(
            of_killed.contains_key(number),
            "call {number} was not in flight there"
        );
        assert_eq!(executed, "unknown", "call {number} had reached the replica");
        assert_eq!(count(number), 1, "call {number} was lost");
    }
    let in_flight =
        (CALLS..after).filter(|number| number % 2 == 0 && of_killed.contains_key(number));
    let in_flight = in_flight.count();
    assert_eq!(acts.failed.len(), in_flight, "nothing else was lost");
    gateway.shut_down();
    in_flight
}

#[test]
fn of_modern_replicas_without_stickiness_only_what_was_in_flight_at_the_killed_one_is_lost() {
    let replicas = replicas(true);
    let balancer = Balancer::round_robin(&[replicas[0].port(), replicas[1].port()]);
    let lost = killed_under_load(&balancer, &replicas);
    assert!(
        (1..HELD as usize).contains(&lost),
        "both had some, {lost} of {HELD} here"
    );
    for replica in &replicas {
        let calls = replica.requests_of("tools/call").len();
        assert!(
            calls > CALLS as usize / 4,
            "{calls} of {}",
            balancer.requests()
        );
    }
}

#[test]
fn of_legacy_replicas_with_sticky_cookies_only_what_was_in_flight_at_the_killed_one_is_lost() {
    let replicas = replicas(false);
    let balancer = Balancer::sticky(&[replicas[0].port(), replicas[1].port()]);
    let lost = killed_under_load(&balancer, &replicas);
    assert_eq!(lost, HELD as usize, "the first one had the session");
    assert_eq!(replicas[0].requests_of("initialize").len(), 1);
    assert!(
        !replicas[1].requests_of("initialize").is_empty(),
        "the other one takes over"
    );
}
