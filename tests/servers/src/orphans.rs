//! Ends the servers of a test process that was killed before it could end them itself.
//!
//! One shell for each test process reads the ids of the servers from a pipe. The end of the pipe means that the test
//! process is gone, whatever ended it; the shell then kills what is still on its list. (`PDEATHSIG` would follow the
//! thread that started the server, and threads of tests come and go.)

use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};

/// Signals that end a whole process group end the servers too; the shell must outlive them to see the end of its pipe.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
ids=" "
while read -r verb id; do
    case $verb in
    add) ids="$ids$id " ;;
    remove) ids="${ids%% $id *} ${ids#* $id }" ;;
    esac
done
[ "$ids" = " " ] || kill -9 $ids 2>/dev/null
"#;

/// Puts a process on the list.
///
/// # Errors
/// The shell cannot be started.
pub(crate) fn add(id: u32) -> Result<()> {
    tell("add", id)
}

/// Takes a process, which is gone, off the list: its id may become another's.
///
/// # Errors
/// The shell has ended.
pub(crate) fn remove(id: u32) -> Result<()> {
    tell("remove", id)
}

fn tell(verb: &str, id: u32) -> Result<()> {
    // A mutex: lines of several threads must not mix, and an actor needs a runtime that tests of this need not have.
    static SHELL: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();
    let shell = SHELL.get_or_init(Mutex::default);
    let mut pipe = shell.lock().unwrap_or_else(PoisonError::into_inner);
    if pipe.is_none() {
        *pipe = Some(start()?);
    }
    let pipe = pipe.as_mut().context("the pipe was just made")?;
    writeln!(pipe, "{verb} {id}").context("write to the shell that ends orphans")
}

#[expect(clippy::disallowed_methods, reason = "a helper of tests: no job runs in it")]
fn start() -> Result<ChildStdin> {
    let shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start the shell that ends orphans")?;
    shell.stdin.context("its standard input is a pipe")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::{env, io, process};

    use rustix::process::{Pid, test_kill_process};

    use crate::wait::{LIMIT, within};
    use crate::{Redis, RedisOptions, redis_or_skip};

    use super::*;

    /// Set in the copy of the test process that is killed.
    const VICTIM: &str = "HIVEFORGE_TESTS_VICTIM";

    #[test]
    fn a_server_ends_when_its_test_process_is_killed() {
        if env::var_os(VICTIM).is_some() {
            let redis = Redis::start(RedisOptions::default()).unwrap();
            println!("\nserver {}", redis.pid().unwrap());
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
            return;
        }
        if !redis_or_skip() {
            return;
        }
        let mut victim = copy_of_this_test();
        let out = BufReader::new(victim.stdout.take().unwrap());
        let id = out
            .lines()
            .find_map(|line| line.unwrap().strip_prefix("server ").map(str::to_owned));
        let server = Pid::from_raw(id.unwrap().parse().unwrap()).unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        within("the server is gone", LIMIT, || {
            Ok(test_kill_process(server).is_err().then_some(()))
        })
        .unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "a copy of this test process")]
    fn copy_of_this_test() -> process::Child {
        Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "orphans::tests::a_server_ends_when_its_test_process_is_killed",
            ])
            .env(VICTIM, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}
