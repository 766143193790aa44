//! `hiveforge observer`: one reading where there is no terminal, the live view on one, and the terminal given back.
//!
//! The terminal is a real one, a pty, of which the test holds the other end.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use protocol::observer::Reading;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, Termios, Winsize, tcflow, tcgetattr, tcsetwinsize};
use serde_json::json;

use crate::program::{beside, hiveforge, output, told_of};
use crate::script::problem;

/// How long anything may take that should happen at once.
const SOON: Duration = Duration::from_secs(20);
/// What a terminal is told to show a view of its own, and to go back from it.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

fn reading() -> Reading {
    let actor = json!({
        "path": "coordinator", "kind": "supervisor", "state": "stuck", "incarnation": 1, "age_ms": 5_000, "restarts": 0,
        "mailbox": {"depth": 0, "capacity": 8, "sent": 0, "handled": 0},
    });
    let totals = json!({
        "starts": 1, "restarts": 0, "failed_starts": 0, "crashes": 0, "kills": 0, "gave_up": 0, "stuck": 1, "abandoned": 0,
    });
    let tree = json!({"name": "coordinator", "actors": [actor], "events": [], "totals": totals});
    serde_json::from_value(json!({"trees": [tree], "truncated": false})).unwrap()
}

/// A coordinator that answers so often, and then refuses.
fn answering(times: usize) -> Router {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = move || {
        let n = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            if n < times {
                Json(reading()).into_response()
            } else {
                problem(401, "unauthenticated", "a valid token is required")
            }
        }
    };
    Router::new().route("/v1/observer/tree", get(answer))
}

/// The program on a terminal.
struct Watched {
    child: Child,
    terminal: OwnedFd,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    before: Termios,
}

impl Watched {
    fn start(address: SocketAddr) -> Self {
        Self::on(address, |_, _| {})
    }

    /// Starts it on a terminal that something is done to first.
    fn on(address: SocketAddr, prepare: impl FnOnce(&OwnedFd, &mut Command)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let before = tcgetattr(&terminal).unwrap();
        let mut command = hiveforge(&["observer", "--every", "100ms"]);
        command.env("TERM", "xterm");
        command
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap());
        prepare(&terminal, &mut command);
        let child = told_of(&mut command, address).spawn().unwrap();
        // The command would keep its copies open.
        drop(command);
        let keyboard = File::from(master);
        let (sent, screen) = channel();
        let mut eyes = keyboard.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(n @ 1..) = eyes.read(&mut bytes) {
                if sent.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            terminal,
            keyboard,
            screen,
            seen: String::new(),
            before,
        }
    }

    /// Waits until this has been drawn.
    fn until(&mut self, text: &str) {
        let deadline = Instant::now() + SOON;
        while !self.seen.contains(text) {
            match self
                .screen
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("not drawn within {SOON:?}: {text}; but {:?}", self.seen)
                }
            }
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits until the program has left the terminal and ended; returns its exit code.
    fn ended(mut self) -> Option<i32> {
        self.until(LEAVE);
        self.restored()
    }

    /// Waits until the program has ended; returns its exit code.
    fn restored(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        let after = tcgetattr(&self.terminal).unwrap();
        assert_eq!(
            after.local_modes, self.before.local_modes,
            "echo and lines are as they were"
        );
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        code
    }
}

impl Drop for Watched {
    /// A failed test leaves nothing running.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Watches until the first actor is drawn, does something, and returns the exit code.
async fn ended_by(answers: usize, act: impl FnOnce(&mut Watched) + Send + 'static) -> Option<i32> {
    beside(answering(answers), move |address| {
        let mut watched = Watched::start(address);
        watched.until(ENTER);
        watched.until("stuck");
        assert_ne!(
            tcgetattr(&watched.terminal).unwrap().local_modes,
            watched.before.local_modes
        );
        act(&mut watched);
        watched.ended()
    })
    .await
}

#[tokio::test]
async fn without_a_terminal_one_reading_is_printed() {
    let table = output(answering(1), &["observer"]).await;
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.starts_with("ACTOR"), "{text}");
    assert!(text.contains("coordinator  stuck"), "{text}");
    let whole = output(answering(1), &["observer", "-o", "json"]).await;
    assert_eq!(
        serde_json::from_slice::<Reading>(&whole.stdout).unwrap(),
        reading()
    );
}

#[tokio::test]
async fn the_terminal_is_given_back_when_the_user_quits() {
    assert_eq!(ended_by(usize::MAX, |watched| watched.press(b"q")).await, Some(0));
}

#[tokio::test]
async fn the_terminal_is_given_back_after_ctrl_c() {
    assert_eq!(
        ended_by(usize::MAX, |watched| watched.press(b"\x03")).await,
        Some(0)
    );
}

#[tokio::test]
async fn the_terminal_is_given_back_after_a_signal() {
    let terminate = |watched: &mut Watched| {
        let pid = Pid::from_child(&watched.child);
        kill_process(pid, Signal::TERM).unwrap();
    };
    assert_eq!(ended_by(usize::MAX, terminate).await, Some(0));
}

#[tokio::test]
async fn the_terminal_is_given_back_when_the_coordinator_refuses() {
    assert_eq!(ended_by(3, |_| {}).await, Some(77));
}

#[tokio::test]
async fn the_terminal_is_given_back_when_it_takes_no_output() {
    let code = beside(answering(usize::MAX), |address| {
        let watched = Watched::on(address, |terminal, command| {
            // Whoever writes to it from now on is told to come again, and a view does not.
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let name = rustix::termios::ttyname(terminal, Vec::new()).unwrap();
            let impatient = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
            tcflow(terminal, Action::OOff).unwrap();
            command.stdout(impatient).stderr(Stdio::piped());
        });
        watched.restored()
    })
    .await;
    assert_eq!(code, Some(74));
}
