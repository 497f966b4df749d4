//! `top`: the status on the whole terminal, read again each second.
//!
//! Owns the terminal while it runs, and carries out what keys ask for. `state` is what is shown and what
//! keys mean, `view` draws it. Neither knows the terminal.

mod state;
mod view;

use std::future::Future;
use std::io::{self, Stdout, stdout};
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::cli::commands::switch::set_in;
use crate::config::switch::Switch;
use crate::observe::signals::Shutdown;
use crate::status::{GatewayStatus, Unread};
use crate::tasks;
use state::{Effect, Order, Top};

/// How often gateways are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the thread that reads keys takes to notice that nobody wants them any more.
const KEY_POLL: Duration = Duration::from_millis(200);

/// Shows what `read` gives, until the user or a signal ends it.
///
/// # Errors
/// If the terminal can't be used.
pub(super) async fn run<R>(read: impl Fn() -> R) -> io::Result<()>
where
    R: Future<Output = (Vec<GatewayStatus>, Vec<Unread>)>,
{
    let mut shutdown = Shutdown::on_signals();
    let mut top = Top::default();
    // One that is slow to answer delays no key.
    let mut reading = None;
    let mut screen = Screen::open()?;
    let mut events = read_events();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        screen.draw(&top)?;
        let event = tokio::select! {
            event = events.recv() => event,
            (gateways, unread) = finished(&mut reading) => {
                top.update(gateways, unread);
                continue;
            }
            _ = ticks.tick(), if reading.is_none() => {
                reading = Some(Box::pin(read()));
                continue;
            }
            () = shutdown.requested() => return Ok(()),
        };
        let effect = match event {
            // The terminal is gone.
            None => return Ok(()),
            Some(Event::Key(key)) if key.kind != KeyEventKind::Release => top.key(key),
            Some(_) => Effect::None,
        };
        match effect {
            Effect::None => {}
            Effect::Quit => return Ok(()),
            Effect::Do(order) => carry_out(&mut top, order).await,
        }
    }
}

/// What was read, once it is.
async fn finished<R: Future>(reading: &mut Option<Pin<Box<R>>>) -> R::Output {
    match reading {
        Some(running) => {
            let read = running.await;
            *reading = None;
            read
        }
        None => std::future::pending().await,
    }
}

/// Sets a switch in a config file, as `disable` and `enable` do.
async fn carry_out(top: &mut Top, order: Order) {
    let wanted = order.clone();
    let setting = tasks::blocking(move || {
        let switch = match &wanted.tool {
            Some(tool) => Switch::Tool(&wanted.backend, tool),
            None => Switch::Backend(&wanted.backend),
        };
        let of_administrator = wanted.of_administrator.as_deref();
        set_in(&wanted.file, switch, wanted.on, of_administrator)
    });
    let set = setting.await.unwrap_or_else(|error| Err(error.to_string()));
    top.done(order, set);
}

/// The terminal in raw mode with another screen, until this is dropped.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let opened = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match opened {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    fn draw(&mut self, top: &Top) -> io::Result<()> {
        self.0.draw(|frame| {
            let area = frame.area();
            view::draw(top, area, frame.buffer_mut());
        })?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        restore();
    }
}

fn restore() {
    let _ = execute!(stdout(), LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// What the user types, read by a thread, since reading blocks. It ends with the receiver, or with the
/// terminal.
fn read_events() -> mpsc::UnboundedReceiver<Event> {
    let (sender, received) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEY_POLL) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(_) => return,
            }
            let Ok(event) = event::read() else { return };
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    received
}
