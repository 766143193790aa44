//! Starting the program that is tested: with an empty environment but for what a test says.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use axum::Router;
use tokio::net::TcpListener;

/// The program with these arguments, and nothing in its environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the program is tested from outside, and no agent forks here"
)]
pub(crate) fn hiveforge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hiveforge"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs `act` beside a coordinator that serves `router`, and returns what it returns.
pub(crate) async fn beside<T: Send + 'static>(
    router: Router,
    act: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acting = tokio::task::spawn_blocking(move || act(address));
    tokio::select! {
        served = axum::serve(listener, router).into_future() => panic!("the script ended: {served:?}"),
        result = acting => result.unwrap(),
    }
}

/// Runs the program to its end beside a coordinator, which it finds by its environment.
pub(crate) async fn output(router: Router, arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let act = move |address| -> io::Result<Output> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        told_of(&mut hiveforge(&arguments), address).output()
    };
    beside(router, act).await.unwrap()
}

/// Adds where the coordinator is, and a token for it.
pub(crate) fn told_of(command: &mut Command, address: SocketAddr) -> &mut Command {
    command
        .env("HIVEFORGE_URL", format!("http://{address}"))
        .env("HIVEFORGE_TOKEN", "hft_test")
}

/// What went to stderr, as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
