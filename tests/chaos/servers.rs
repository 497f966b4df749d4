//! The servers: one for each backend of the gateway, in this process.
//!
//! Owns which kinds there are, and what happens to a server beside its replies.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tempfile::{NamedTempFile, TempDir};

use super::Result;
use super::common::fake::{FakeBackend, OnConnect};
use super::common::h2::{Http2Fault, Http2Server};
use super::common::reply::Reply;
use super::common::rng::Rng;
use super::common::tls::Authority;
use super::common::wire::Request;
use super::faults::{self, Beside, Kind};
use super::ledger::Ledger;

/// Each kind of server, whether its failures may make the gateway connect anew, and how many there are.
/// Connections keep a distance that grows, so those that may are slow.
const KINDS: [(Kind, bool, usize); 9] = [
    (Kind::InSession, false, 14),
    (Kind::WithoutSession, false, 12),
    (Kind::Modern, false, 14),
    (Kind::Http2, false, 4),
    (Kind::HttpSse, false, 4),
    (Kind::InSession, true, 4),
    (Kind::WithoutSession, true, 3),
    (Kind::Modern, true, 3),
    (Kind::Changing, true, 6),
];
/// The configured timeout of a call, in seconds: some servers never answer.
const TIMEOUT: u64 = 2;
/// The configured retries.
const RETRIES: u64 = 2;

/// All servers.
pub(crate) struct Servers {
    backends: Vec<Backend>,
    authority: NamedTempFile,
    folder: TempDir,
    disturber: JoinHandle<()>,
    disturbances: Sender<Disturbance>,
}

/// What happens to the server at this place; `None` at the end of the run.
type Disturbance = Option<(usize, Beside)>;

struct Backend {
    name: String,
    fake: Arc<FakeBackend>,
    /// In front of the fake, if it is reached over HTTP/2.
    http2: Option<Http2Server>,
}

/// What the replies of one server are made with.
#[derive(Clone)]
struct Script {
    at: usize,
    kind: Kind,
    may_lose: bool,
    seed: u64,
    ledger: Arc<Mutex<Ledger>>,
    cancels: Sender<u64>,
    disturbances: Sender<Disturbance>,
}

impl Servers {
    /// Starts them. What they do follows from the seed and the number of the call, as far as the order
    /// of events does.
    pub(crate) fn start(seed: u64, ledger: &Arc<Mutex<Ledger>>, cancels: &Sender<u64>) -> Self {
        let authority = Authority::new();
        let (disturbances, to_disturb) = channel();
        let mut backends = Vec::new();
        for (kind, may_lose, count) in KINDS {
            for _ in 0..count {
                let script = Script {
                    at: backends.len(),
                    kind,
                    may_lose,
                    seed,
                    ledger: Arc::clone(ledger),
                    cancels: cancels.clone(),
                    disturbances: disturbances.clone(),
                };
                backends.push(Backend::start(script, &authority));
            }
        }
        let fakes: Vec<_> = backends
            .iter()
            .map(|backend| Arc::clone(&backend.fake))
            .collect();
        Self {
            backends,
            authority: authority.file(),
            folder: tempfile::tempdir().unwrap(),
            disturber: thread::spawn(move || disturb(&fakes, &to_disturb)),
            disturbances,
        }
    }

    /// The names of the backends in the config.
    pub(crate) fn names(&self) -> Vec<String> {
        self.backends
            .iter()
            .map(|backend| backend.name.clone())
            .collect()
    }

    /// Writes the gateway's config.
    pub(crate) fn config(&self) -> Result<PathBuf> {
        let mut text = "[gateway]\ntool_names = \"prefixed\"\nstartup_wait_ms = 60000\n".to_owned();
        for backend in &self.backends {
            let (name, ca) = (&backend.name, self.authority.path().display());
            let url = match &backend.http2 {
                Some(http2) => format!("{}\"\nca_file = \"{ca}", http2.url()),
                None => backend.fake.url(),
            };
            write!(
                text,
                "\n[[backends]]\nname = \"{name}\"\nurl = \"{url}\"\nretries = {RETRIES}\ntimeout_secs = {TIMEOUT}\n"
            )?;
        }
        let path = self.folder.path().join("sentinel.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Ends them. Fails if one has detected a violation of the protocol.
    pub(crate) fn end(self) {
        self.disturbances.send(None).unwrap();
        self.disturber.join().unwrap();
    }
}

impl Backend {
    fn start(script: Script, authority: &Authority) -> Self {
        let kind = script.kind;
        let name = format!("{kind:?}{}", script.at).to_lowercase();
        let replying = script.clone();
        let fake = FakeBackend::start()
            .tool("act")
            .without_recording()
            .respond_with(move |request| replying.reply(request));
        let fake = Arc::new(match kind {
            Kind::InSession | Kind::Changing => fake,
            Kind::WithoutSession | Kind::Http2 => fake.without_sessions(),
            Kind::Modern => fake.modern(),
            Kind::HttpSse => fake.http_sse(),
        });
        let http2 = (kind == Kind::Http2).then(|| {
            let identity = authority.issue(&["127.0.0.1"]);
            Http2Server::choosing(&fake, &identity, move |request| script.http2(request))
        });
        Self { name, fake, http2 }
    }
}

impl Script {
    fn reply(&self, request: &Request) -> Option<Reply> {
        match request.kind() {
            "GET" => return faults::rest_of(request),
            "tools/call" => {}
            _ => return None,
        }
        let (number, good) = call_of(request)?;
        let mut ledger = self.ledger.lock().unwrap();
        let mut rng = self.rng(number, ledger.arrivals(number));
        let action = match good {
            true => faults::success(request),
            false => faults::choose(&mut rng, self.kind, self.may_lose, request),
        };
        ledger.arrived(number, action.runs, action.kind, &action.what);
        drop(ledger);
        // At the end of the run nobody listens any more.
        match action.beside {
            None => {}
            Some(Beside::Cancel) => drop(self.cancels.send(number)),
            Some(beside) => drop(self.disturbances.send(Some((self.at, beside)))),
        }
        Some(action.reply)
    }

    fn http2(&self, request: &Request) -> Option<Http2Fault> {
        let (number, good) = call_of(request)?;
        let mut ledger = self.ledger.lock().unwrap();
        let mut rng = self.rng(!number, ledger.arrivals(number));
        let fault = faults::http2(&mut rng).filter(|_| !good)?;
        // Where it is taken, the server itself notes it.
        if fault != Http2Fault::GoAwayAfterTaking {
            ledger.arrived(number, false, "HTTP/2", &format!("{fault:?}"));
        }
        Some(fault)
    }

    fn rng(&self, number: u64, arrivals: u64) -> Rng {
        let mut rng = Rng(self.seed ^ (number << 8) ^ arrivals);
        rng.below(2);
        rng
    }
}

/// The number of a call, and whether it is to succeed.
fn call_of(request: &Request) -> Option<(u64, bool)> {
    let arguments = &request.params()["arguments"];
    Some((arguments["call"].as_u64()?, arguments["good"] == true))
}

fn disturb(fakes: &[Arc<FakeBackend>], disturbances: &Receiver<Disturbance>) {
    let mut modern = vec![false; fakes.len()];
    for (at, beside) in disturbances.iter().map_while(|disturbance| disturbance) {
        let fake = &fakes[at];
        match beside {
            Beside::Cancel => {}
            Beside::ForgetSessions => drop(fake.forget_sessions()),
            // One broken connection for each disturbance.
            Beside::CutConnections => drop(fake.set_on_connect(&[]).cut_connections()),
            Beside::ResetConnection => drop(fake.set_on_connect(&[OnConnect::Reset])),
            Beside::CloseConnection => drop(fake.set_on_connect(&[OnConnect::HangUp])),
            Beside::ChangeEra => {
                modern[at] = !modern[at];
                fake.change_era(modern[at]);
            }
        }
    }
}
