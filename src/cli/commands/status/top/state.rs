//! What `top` shows, and what keys mean.
//!
//! Owns the selection, the order of backends and the question that is open. A key changes these, or asks for
//! an [`Effect`], which is carried out elsewhere. It knows no terminal.

use std::cmp::Ordering;
use std::path::PathBuf;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::cli::terminal::one_line;
use crate::status::{BackendStatus, GatewayStatus, State, Unread};

/// Lines of a page.
const PAGE: usize = 10;

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Top {
    /// Whether it was read once.
    pub(super) is_read: bool,
    pub(super) gateways: Vec<GatewayStatus>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
    pub(super) sort: Sort,
    /// Details of the selected backend, and its tools.
    pub(super) details: bool,
    /// The selected backend, by its place among all that are shown.
    pub(super) at: usize,
    /// The selected tool.
    pub(super) tool: usize,
    /// What is done if the user says yes.
    pub(super) question: Option<Order>,
    /// What the last key has led to.
    pub(super) message: Option<String>,
    /// The last switch that was set.
    last: Option<Order>,
}

/// A switch to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) file: PathBuf,
    pub(super) backend: String,
    /// Its URL to show, where it is one of the administrator's file.
    pub(super) of_administrator: Option<String>,
    /// Its own name; `None` is the backend.
    pub(super) tool: Option<String>,
    pub(super) on: bool,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Quit,
    Do(Order),
}

/// The order of the backends of a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Config,
    Calls,
    Busy,
    Errors,
    Slowest,
    Name,
}

impl Sort {
    const ALL: [Self; 6] = [
        Self::Config,
        Self::Calls,
        Self::Busy,
        Self::Errors,
        Self::Slowest,
        Self::Name,
    ];

    /// The order's name in a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Calls => "calls/min",
            Self::Busy => "busy",
            Self::Errors => "errors",
            Self::Slowest => "p99",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self);
        Self::ALL[at.map_or(0, |at| (at + 1) % Self::ALL.len())]
    }

    fn sort(self, backends: &mut [&BackendStatus]) {
        let order: fn(&&BackendStatus, &&BackendStatus) -> Ordering = match self {
            Self::Config => return,
            Self::Calls => |a, b| b.calls_per_minute.total_cmp(&a.calls_per_minute),
            Self::Busy => |a, b| busy(b).cmp(&busy(a)),
            Self::Errors => |a, b| b.errors.cmp(&a.errors),
            Self::Slowest => |a, b| slowest(b).total_cmp(&slowest(a)),
            Self::Name => |a, b| a.name.cmp(&b.name),
        };
        // Stable: what is alike stays in config order.
        backends.sort_by(order);
    }
}

/// The calls in flight, and those that wait.
fn busy(backend: &BackendStatus) -> u64 {
    u64::from(backend.in_flight) + u64::from(backend.queued)
}

/// The 99th percentile in milliseconds; below all others without calls.
fn slowest(backend: &BackendStatus) -> f64 {
    backend.p99_ms.unwrap_or(-1.0)
}

impl Order {
    /// What is switched: a backend, or one of its tools.
    pub(super) fn subject(&self) -> String {
        match &self.tool {
            Some(tool) => format!("{}/{}", self.backend, one_line(tool)),
            None => self.backend.clone(),
        }
    }

    /// What it is switched to.
    pub(super) fn word(&self) -> &'static str {
        if self.on { "on" } else { "off" }
    }
}

impl Top {
    /// The gateways say something new. The same backend stays selected.
    pub(super) fn update(&mut self, gateways: Vec<GatewayStatus>, unread: Vec<Unread>) {
        let place = |top: &Self| {
            let (gateway, backend) = top.selected()?;
            Some((gateway.pid, backend.name.clone()))
        };
        let before = place(self);
        self.is_read = true;
        self.gateways = gateways;
        let unread = unread.into_iter();
        self.unread = unread
            .map(|unread| format!("{}: {}", unread.path.display(), unread.why))
            .collect();
        self.reselect(before);
    }

    /// Each gateway with its backends in the order that is shown.
    pub(super) fn shown(&self) -> Vec<(&GatewayStatus, Vec<&BackendStatus>)> {
        let gateways = self.gateways.iter().map(|gateway| {
            let mut backends: Vec<&BackendStatus> = gateway.backends.iter().collect();
            self.sort.sort(&mut backends);
            (gateway, backends)
        });
        gateways.collect()
    }

    /// The selected backend.
    pub(super) fn selected(&self) -> Option<(&GatewayStatus, &BackendStatus)> {
        self.in_order().into_iter().nth(self.at)
    }

    fn in_order(&self) -> Vec<(&GatewayStatus, &BackendStatus)> {
        let shown = self.shown().into_iter();
        shown
            .flat_map(|(gateway, backends)| {
                backends.into_iter().map(move |backend| (gateway, backend))
            })
            .collect()
    }

    fn reselect(&mut self, place: Option<(u32, String)>) {
        let all = self.in_order();
        let at = place.and_then(|(pid, name)| {
            let is_it = |(gateway, backend): &(&GatewayStatus, &BackendStatus)| {
                gateway.pid == pid && backend.name == name
            };
            all.iter().position(is_it)
        });
        let last = all.len().saturating_sub(1);
        // Another one in its place must not be mistaken for it.
        if at.is_none() {
            self.details = false;
            self.question = None;
        }
        self.at = at.unwrap_or(self.at.min(last));
        let tools = self.selected().map_or(0, |(_, b)| b.tool_names.len());
        self.tool = self.tool.min(tools.saturating_sub(1));
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Effect {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Effect::Quit;
        }
        self.message = None;
        if let Some(order) = self.question.take() {
            return match key.code {
                KeyCode::Char('y' | 'Y') | KeyCode::Enter => Effect::Do(order),
                _ => Effect::None,
            };
        }
        match key.code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Esc | KeyCode::Left | KeyCode::Char('h') if self.details => {
                self.details = false
            }
            KeyCode::Esc => return Effect::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.move_by(|at| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(|at| at + 1),
            KeyCode::PageUp => self.move_by(|at| at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.move_by(|at| at + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(|_| 0),
            KeyCode::End | KeyCode::Char('G') => self.move_by(|_| usize::MAX),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') if self.selected().is_some() => {
                (self.details, self.tool) = (true, 0);
            }
            KeyCode::Char('s') if !self.details => {
                let selected = self.selected();
                let place = selected.map(|(gateway, backend)| (gateway.pid, backend.name.clone()));
                self.sort = self.sort.next();
                self.reselect(place);
            }
            KeyCode::Char('x') => self.ask(),
            KeyCode::Char('u') => match self.last.take() {
                Some(last) => {
                    let on = !last.on;
                    return Effect::Do(Order { on, ..last });
                }
                None => {
                    self.message = Some("nothing was switched here that could be undone".into())
                }
            },
            _ => {}
        }
        Effect::None
    }

    fn move_by(&mut self, to: impl Fn(usize) -> usize) {
        let tools = self.selected().map_or(0, |(_, b)| b.tool_names.len());
        let (place, count) = match self.details {
            true => (&mut self.tool, tools),
            false => {
                let count = self.gateways.iter().map(|gateway| gateway.backends.len());
                let count = count.sum();
                (&mut self.at, count)
            }
        };
        *place = to(*place).min(count.saturating_sub(1));
    }

    /// Asks whether what is selected is to be switched.
    fn ask(&mut self) {
        let Some((gateway, backend)) = self.selected() else {
            return;
        };
        let tool = match self.details {
            true => backend.tool_names.get(self.tool).cloned(),
            false => None,
        };
        let order = |file: &String| Order {
            file: file.into(),
            backend: backend.name.clone(),
            of_administrator: (backend.of_administrator).then(|| backend.url.clone()),
            on: tool.is_none() && backend.state == State::Disabled,
            tool: tool.clone(),
        };
        let order = gateway
            .config
            .as_ref()
            .filter(|_| gateway.follows_config)
            .map(order);
        if order.is_none() {
            self.message = Some(not_switched(gateway, backend));
        }
        self.question = order;
    }

    /// A switch was set, or not; `set`: whether the file was changed, or why it could not be.
    pub(super) fn done(&mut self, order: Order, set: Result<bool, String>) {
        let (subject, word) = (order.subject(), order.word());
        self.message = Some(match set {
            Ok(true) => {
                self.last = Some(order);
                format!("{subject} is switched {word}; u undoes it")
            }
            Ok(false) if order.on => {
                format!("nothing in {} switches {subject} off", order.file.display())
            }
            Ok(false) => format!("{subject} is switched {word} already"),
            Err(why) => format!("{}: {why}", order.file.display()),
        });
    }
}

/// Why a switch has no place in a file, and what to do.
fn not_switched(gateway: &GatewayStatus, backend: &BackendStatus) -> String {
    let name = &backend.name;
    match (&gateway.config, gateway.follows_config) {
        (None, true) if backend.of_administrator => format!(
            "there is no config file of yours yet: `sentinel-gateway disable {name}` makes one"
        ),
        (None, false) if backend.of_administrator => {
            "there is no config file of yours, and no home folder to make one in: set HOME where the gateway is started"
                .to_owned()
        }
        (None, _) => format!(
            "{name} is given by flags alone, so there is no file to switch it in: write it into a sentinel.toml, and start the gateway with that"
        ),
        (Some(file), _) => format!(
            "this gateway takes no changes of {file}, a pipe or a file that was only found in its working folder: start it with --config and a file of yours"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(name: &str, calls: f64, p99: Option<f64>, errors: u64, busy: u32) -> BackendStatus {
        BackendStatus {
            name: name.to_owned(),
            state: State::Up,
            calls_per_minute: calls,
            p99_ms: p99,
            errors,
            in_flight: busy,
            ..BackendStatus::default()
        }
    }

    fn gateway(pid: u32, backends: Vec<BackendStatus>) -> GatewayStatus {
        GatewayStatus {
            pid,
            backends,
            config: Some("/a.toml".to_owned()),
            follows_config: true,
            ..GatewayStatus::default()
        }
    }

    fn three() -> Vec<BackendStatus> {
        vec![
            backend("c", 1.0, None, 5, 0),
            backend("a", 3.0, Some(2.0), 0, 7),
            backend("b", 2.0, Some(9.0), 0, 9),
        ]
    }

    fn press(top: &mut Top, code: KeyCode) -> Effect {
        top.key(KeyEvent::from(code))
    }

    fn selected(top: &Top) -> (u32, &str) {
        let (gateway, backend) = top.selected().unwrap();
        (gateway.pid, &backend.name)
    }

    #[test]
    fn backends_are_sorted_within_their_gateway_and_the_selected_one_stays() {
        let mut top = Top::default();
        top.update(vec![gateway(1, three()), gateway(2, three())], Vec::new());
        press(&mut top, KeyCode::End);
        assert_eq!(selected(&top), (2, "b"));
        for (word, order) in [
            ("calls/min", "abc"),
            ("busy", "bac"),
            ("errors", "cab"),
            ("p99", "bac"),
            ("name", "abc"),
            ("config", "cab"),
        ] {
            press(&mut top, KeyCode::Char('s'));
            assert_eq!(top.sort.word(), word);
            for (_, backends) in top.shown() {
                let names: String = backends.iter().map(|backend| &*backend.name).collect();
                assert_eq!(names, order, "{word}");
            }
            assert_eq!(selected(&top), (2, "b"));
        }
    }

    #[test]
    fn a_question_is_about_what_was_selected_when_it_was_asked() {
        let mut top = Top::default();
        top.update(vec![gateway(1, three())], Vec::new());
        press(&mut top, KeyCode::Down);
        press(&mut top, KeyCode::Char('x'));
        // It moves; it is the same one.
        let mut moved = three();
        moved.swap(0, 1);
        top.update(vec![gateway(1, moved)], Vec::new());
        assert_eq!(selected(&top), (1, "a"));
        let Effect::Do(order) = press(&mut top, KeyCode::Char('y')) else {
            panic!("nothing is done");
        };
        assert_eq!((order.subject(), order.on), ("a".to_owned(), false));
        // It goes: nobody is asked about another one.
        press(&mut top, KeyCode::Char('x'));
        top.update(vec![gateway(1, three()[2..].to_vec())], Vec::new());
        assert_eq!(top.question, None);
        assert_eq!(selected(&top), (1, "b"));
        top.update(Vec::new(), Vec::new());
        for code in [
            KeyCode::Char('x'),
            KeyCode::Enter,
            KeyCode::Down,
            KeyCode::Char('u'),
        ] {
            assert_eq!(press(&mut top, code), Effect::None);
        }
        assert!(!top.details);
    }

    #[test]
    fn a_user_without_a_file_is_told_what_makes_one() {
        let mut team = three();
        team[0].of_administrator = true;
        let without = GatewayStatus {
            config: None,
            ..gateway(1, team)
        };
        let mut top = Top::default();
        top.update(vec![without], Vec::new());
        press(&mut top, KeyCode::Char('x'));
        let said = top.message.clone().unwrap_or_default();
        assert!(said.contains("`sentinel-gateway disable c`"), "{said}");
        press(&mut top, KeyCode::Down);
        press(&mut top, KeyCode::Char('x'));
        let said = top.message.unwrap_or_default();
        assert!(said.starts_with("a is given by flags alone"), "{said}");
        assert!(said.contains("write it into a sentinel.toml"), "{said}");
        assert_eq!(top.question, None);
    }

    #[test]
    fn what_is_off_is_switched_on_and_what_follows_no_file_is_not_switched() {
        let mut off = three();
        off[0].state = State::Disabled;
        let mut top = Top::default();
        top.update(vec![gateway(1, off)], Vec::new());
        press(&mut top, KeyCode::Char('x'));
        assert!(top.question.as_ref().is_some_and(|order| order.on));
        let fixed = GatewayStatus {
            follows_config: false,
            ..gateway(2, three())
        };
        top.update(vec![fixed], Vec::new());
        press(&mut top, KeyCode::Char('x'));
        assert_eq!(top.question, None);
        let said = top.message.as_deref().unwrap_or_default();
        assert!(
            said.contains("changes of /") && said.contains("--config") && !said.contains("flags"),
            "{said}"
        );
        let order = Order {
            file: "/a.toml".into(),
            backend: "a".to_owned(),
            of_administrator: None,
            tool: None,
            on: false,
        };
        top.done(order, Err("it is read-only".to_owned()));
        assert_eq!(top.message.as_deref(), Some("/a.toml: it is read-only"));
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(&mut top, code), Effect::Quit);
        }
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(top.key(control_c), Effect::Quit);
    }
}
