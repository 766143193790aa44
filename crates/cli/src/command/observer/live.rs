//! The live view's loop: readings, keys and signals in, a drawing out.
//!
//! A coordinator that does not answer is shown as lost, with the age of the last reading, until it answers again; one
//! that refuses ends the view. Whichever way the loop ends, by a panic too, the terminal is given back as it was.

use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use protocol::client::ClientError;
use protocol::observer::Reading;
use ratatui::DefaultTerminal;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Source;
use super::drawing::draw;
use super::view::{Flow, View};
use crate::failure::Failure;
use crate::signals::Signals;

/// How long one reading may take. A coordinator that needs longer is shown as lost.
pub(super) const READING_MAX: Duration = Duration::from_secs(5);
/// How often it is drawn when nothing happens, so that ages are right.
const REDRAW: Duration = Duration::from_secs(1);

/// The terminal while it is ours.
struct Screen {
    terminal: DefaultTerminal,
    _to_give_back: ToGiveBack,
}

impl Screen {
    /// Takes the terminal. A panic from now on gives it back before it is told.
    fn take() -> Result<Self, Failure> {
        // It may fail when the terminal is half taken.
        let to_give_back = ToGiveBack;
        let terminal = ratatui::try_init().map_err(Failure::output)?;
        Ok(Self {
            terminal,
            _to_give_back: to_give_back,
        })
    }
}

/// Gives the terminal back when it is dropped.
struct ToGiveBack;

impl Drop for ToGiveBack {
    fn drop(&mut self) {
        // A panic has given it back and was told since; a second time would move the cursor over what it said.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

/// Shows the actors until the user or a signal ends it.
///
/// # Errors
/// The first reading cannot be had, the coordinator refuses a later one, or the terminal fails.
pub(super) async fn run(source: &Source, every: Duration) -> Result<(), Failure> {
    let first: Reading = source.read().await?;
    let url = source.client.url();
    let colours = AutoStream::choice(&std::io::stdout()) != ColorChoice::Never;
    let mut signals = Signals::catch()?;
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut view = View::new(url, first, Instant::now());
    let mut next = Box::pin(reading_after(every, source));
    loop {
        let drawn = screen
            .terminal
            .draw(|frame| draw(frame, &view, Instant::now(), colours));
        drawn.map_err(Failure::output)?;
        tokio::select! {
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    if view.on_key(key) == Flow::Quit {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(why)) => return Err(Failure::output(why)),
                None => return Ok(()),
            },
            () = signals.next() => return Ok(()),
            reading = &mut next => {
                match reading {
                    Ok(reading) => view.on_reading(reading, Instant::now()),
                    Err(error) if error.is_transient() => view.on_loss(error.to_string(), Instant::now()),
                    Err(error) => return Err(error.into()),
                }
                next = Box::pin(reading_after(every, source));
            }
            _ = redraw.tick() => {}
        }
    }
}

async fn reading_after(pause: Duration, source: &Source) -> Result<Reading, ClientError> {
    sleep(pause).await;
    source.read().await
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::process::Command;

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::tcgetattr;

    use super::*;

    /// Set where the test runs once more, on a terminal of its own.
    const ON_TERMINAL: &str = "HIVEFORGE_TEST_ON_TERMINAL";
    const NAME: &str =
        "command::observer::live::tests::a_panic_gives_the_terminal_back_once_and_is_told_after_that";
    const LEAVE: &str = "\u{1b}[?1049l";

    #[test]
    fn a_panic_gives_the_terminal_back_once_and_is_told_after_that() {
        if std::env::var_os(ON_TERMINAL).is_some() {
            let _screen = Screen::take().unwrap();
            assert!(crossterm::terminal::is_raw_mode_enabled().unwrap());
            panic!("the view is broken");
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let before = tcgetattr(&terminal).unwrap();
        #[expect(clippy::disallowed_methods, reason = "no agent forks here")]
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", NAME, "--nocapture"])
            .env(ON_TERMINAL, "1")
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut screen = File::from(master);
        let (mut seen, mut bytes) = (String::new(), [0; 4_096]);
        while !seen.contains("test result: FAILED") {
            let n = screen.read(&mut bytes).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        assert!(!child.wait().unwrap().success());
        let after = tcgetattr(&terminal).unwrap();
        assert_eq!(after.local_modes, before.local_modes, "{seen:?}");
        let left: Vec<&str> = seen.split(LEAVE).collect();
        assert_eq!(left.len(), 2, "{seen:?}");
        assert!(!left[0].contains("the view is broken"), "{seen:?}");
        assert!(left[1].contains("the view is broken"), "{seen:?}");
    }
}
