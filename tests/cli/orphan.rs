//! The client is killed while another process keeps our stdin open.

use std::process::Command;
use std::time::Duration;

use super::*;

/// A call that takes longer than the gateway takes to look at its parent.
const LONG: Duration = Duration::from_secs(6);

/// The next answer, which must be to this id.
fn answer(stdout: &mut impl BufRead, id: &str) {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let message: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(message["id"], id, "{line}");
}

#[test]
pub(crate) fn fault_19_a_gateway_leaves_when_its_parent_has_changed_and_nobody_reads() {
    let fake = FakeBackend::start().tool("slow");
    fake.on_tool(
        "slow",
        Reply::sse()
            .pause(LONG)
            .event(crate::common::message::text("done")),
    );
    let folder = tempfile::tempdir().unwrap();
    let program = gateway(&folder, &fake.entry("fake", ""));
    // The shell is the client. The test has the other ends of the pipes, as a sibling may.
    let (stdin, mut to_stdin) = std::io::pipe().unwrap();
    let (from_stdout, stdout) = std::io::pipe().unwrap();
    let (mut from_stderr, stderr) = std::io::pipe().unwrap();
    let mut client = {
        let mut shell = Command::new("sh");
        // In the background its stdin would be /dev/null.
        shell.args(["-c", "exec 3<&0; \"$@\" <&3 3<&- & wait", "sh"]);
        shell.arg(program.get_program()).args(program.get_args());
        let variables = program.get_envs();
        shell.env_clear();
        shell.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(stdin).stdout(stdout).stderr(stderr);
        // The command has copies of the pipes until it is dropped.
        shell.spawn().unwrap()
    };

    let mut from_stdout = BufReader::new(from_stdout);
    writeln!(to_stdin, "{INITIALIZE}").unwrap();
    answer(&mut from_stdout, "i");
    client.kill().unwrap();
    client.wait().unwrap();
    // Its parent has changed, but somebody reads: it stays.
    let params = json!({ "name": "slow" });
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params });
    writeln!(to_stdin, "{call}").unwrap();
    answer(&mut from_stdout, "c");

    drop(from_stdout);
    let (ended, end) = channel();
    thread::spawn(move || {
        let mut log = String::new();
        // The end of stderr is that of the gateway.
        let _ = from_stderr.read_to_string(&mut log);
        let _ = ended.send(log);
    });
    let log = end.recv_timeout(PATIENCE * 3).expect("the gateway stays");
    assert_eq!(log, "");
    drop(to_stdin);
}
