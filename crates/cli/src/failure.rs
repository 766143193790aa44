//! Every way in which a command can fail: its words, its place in a file, its hint and its exit code, in this one file.
//!
//! A failure of a *job* is no failure of the command that followed it: see `exit` for those codes.

use std::io;
use std::path::{Path, PathBuf};

use domain::{Digest, JobId, SpecError};
use protocol::Problem;
use protocol::client::{BadUrl, ClientError};
use protocol::problem::Fault;

use crate::exit;
use crate::place::Place;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The coordinator did not answer, refused, or answered nonsense.
    #[error("{}", in_words(.0))]
    Client(#[from] ClientError),
    /// No coordinator is known.
    #[error("no coordinator found ({} does not exist)", .looked_at.display())]
    NoCoordinator { looked_at: PathBuf },
    /// A coordinator is known, but no token for it.
    #[error("no token for the coordinator: cannot read {}: {why}", .path.display())]
    NoToken { path: PathBuf, why: io::Error },
    /// Nothing says where the data directory is.
    #[error("no data directory: HOME is not set")]
    NoDataDir,
    /// The coordinator's address is none.
    #[error(transparent)]
    BadUrl(#[from] BadUrl),
    /// The log filter cannot be read.
    #[error("HIVEFORGE_LOG cannot be read: {0}")]
    BadLogFilter(String),
    /// A role's settings make no sense.
    #[error("{role} cannot be configured like this: {why}")]
    BadConfig { role: &'static str, why: String },
    /// A spec in a file is wrong.
    #[error("{fault}")]
    SpecFile {
        fault: String,
        place: Option<Box<Place>>,
    },
    /// A batch file is wrong as a whole.
    #[error("{file} is no batch: {why}")]
    BatchFile { file: String, why: String },
    /// The options of `run` make no valid spec.
    #[error("{}", fault_in_words(.0))]
    SpecOptions(SpecError),
    /// An input cannot be one.
    #[error("the input `{path}` cannot be used: {why}")]
    Input { path: String, why: String },
    /// A local file or directory is in the way.
    #[error("cannot {doing} {}: {why}", .path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        why: io::Error,
    },
    /// An artifact would end up where it must not.
    #[error("the artifact `{path}` is not written: {why}")]
    UnsafeArtifact { path: String, why: &'static str },
    /// Content is not what its digest says.
    #[error("{what} arrived damaged: its digest is {found}, not {expected}")]
    Damaged {
        what: String,
        expected: Digest,
        found: Digest,
    },
    /// Some items of a batch were refused.
    #[error("{refused} of {total} jobs were refused")]
    ItemsRefused { refused: usize, total: usize },
    /// The job goes on without us.
    #[error("gave up waiting for {job}: {why}; the job goes on")]
    GaveUp { job: JobId, why: String },
    /// The user broke off before the job was known to be accepted.
    #[error("interrupted before the coordinator acknowledged the job")]
    Interrupted,
    /// Nobody reads our output any more.
    #[error("the reader of the output has gone")]
    ReaderGone,
    /// The operating system refuses what any program needs.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// A role came to an end that nobody asked for.
    #[error("{role} stopped: {why}")]
    Role { role: &'static str, why: String },
}

impl Failure {
    /// A wrong spec in a file with this text.
    pub(crate) fn spec_file(file: &str, text: &str, error: &SpecError) -> Self {
        let place = error.at.as_ref();
        let place = place.map(|at| Box::new(Place::in_file(file, text, at.line, at.column)));
        let fault = fault_in_words(error);
        Self::SpecFile { fault, place }
    }

    /// A local file that cannot be read, written and so on.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>, why: io::Error) -> Self {
        Self::File {
            doing,
            path: path.into(),
            why,
        }
    }

    /// A failed write to our own output.
    pub(crate) fn output(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::file("write", Path::new("the output"), why),
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Problem(problem)) => code_of_problem(problem),
            Self::Client(ClientError::BadReply(_) | ClientError::NotModified) => exit::INFRASTRUCTURE,
            Self::Client(ClientError::Unreachable { .. } | ClientError::TimedOut { .. })
            | Self::NoCoordinator { .. }
            | Self::Runtime(_)
            | Self::Role { .. } => exit::UNAVAILABLE,
            Self::NoToken { .. } => exit::NOT_ALLOWED,
            Self::NoDataDir | Self::BadUrl(_) | Self::BadLogFilter(_) | Self::BadConfig { .. } => {
                exit::BAD_CONFIG
            }
            Self::SpecFile { .. }
            | Self::BatchFile { .. }
            | Self::Damaged { .. }
            | Self::ItemsRefused { .. } => exit::BAD_DATA,
            Self::SpecOptions(_) | Self::Input { .. } => exit::USAGE,
            Self::File { .. } | Self::UnsafeArtifact { .. } => exit::LOCAL_FILE,
            Self::GaveUp { .. } => exit::GAVE_UP,
            Self::Interrupted => exit::INTERRUPTED,
            Self::ReaderGone => 0,
        }
    }

    /// What to do about it, where there is something.
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Client(ClientError::Problem(problem)) => return hint_of_problem(problem),
            Self::Client(ClientError::Unreachable { .. } | ClientError::TimedOut { .. }) => {
                "is it running? HIVEFORGE_COORDINATOR or --coordinator name others, several with commas"
            }
            Self::NoCoordinator { .. } => "start one with `hiveforge up`, or set HIVEFORGE_COORDINATOR",
            Self::NoToken { .. } => "set HIVEFORGE_TOKEN, or --data to the data directory of `hiveforge up`",
            Self::NoDataDir => "set HIVEFORGE_DATA or give --data",
            Self::BadLogFilter(_) => "write it like `info` or `info,agent=debug`",
            Self::SpecOptions(_) => "`hiveforge help run` lists the options",
            Self::BatchFile { .. } => "write a JSON array of specs, or one JSON object a line",
            Self::GaveUp { job, .. } => {
                return Some(format!("`hiveforge job logs -f {job}` follows it again"));
            }
            Self::Interrupted => "it may run nevertheless: see `hiveforge job list`",
            Self::Client(_)
            | Self::BadUrl(_)
            | Self::BadConfig { .. }
            | Self::SpecFile { .. }
            | Self::Input { .. }
            | Self::File { .. }
            | Self::UnsafeArtifact { .. }
            | Self::Damaged { .. }
            | Self::ItemsRefused { .. }
            | Self::ReaderGone
            | Self::Runtime(_)
            | Self::Role { .. } => return None,
        };
        Some(text.to_owned())
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::SpecFile { place, .. } => place.as_deref().cloned(),
            Self::Client(ClientError::Problem(problem)) => {
                let fault = problem.errors.first()?;
                Some(Place::elsewhere(
                    fault.line?,
                    fault.column?,
                    fault.text.as_deref()?,
                ))
            }
            _ => None,
        }
    }

    /// The whole message for a terminal, with escapes for colour.
    pub(crate) fn render(&self) -> String {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let bold = anstyle::Style::new().bold();
        let mut text = format!("{red}error:{red:#} {self}\n");
        if let Some(place) = self.place() {
            text.push_str(&place.to_string());
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("{bold}hint:{bold:#} {hint}\n"));
        }
        text
    }
}

fn in_words(error: &ClientError) -> String {
    match error {
        ClientError::Problem(problem) => problem_in_words(problem),
        other => other.to_string(),
    }
}

/// Where a fault is named, its words are better: the detail repeats them with the place, which is drawn below.
fn problem_in_words(problem: &Problem) -> String {
    match problem.errors.first() {
        Some(Fault {
            detail,
            field: Some(field),
            ..
        }) => format!("{field}: {detail}"),
        Some(Fault {
            detail, field: None, ..
        }) => detail.clone(),
        None => problem.detail.clone(),
    }
}

/// The place is drawn below, so it is not repeated here.
fn fault_in_words(error: &SpecError) -> String {
    match &error.field {
        Some(field) => format!("{field}: {}", error.message),
        None => error.message.clone(),
    }
}

fn code_of_problem(problem: &Problem) -> u8 {
    match (problem.status, problem.code.as_str()) {
        (401 | 403, _) => exit::NOT_ALLOWED,
        (_, "not_a_coordinator") | (429 | 500.., _) => exit::UNAVAILABLE,
        (413, _) | (_, "spec_invalid") => exit::BAD_DATA,
        _ => exit::USAGE,
    }
}

fn hint_of_problem(problem: &Problem) -> Option<String> {
    let text = match (problem.status, problem.code.as_str()) {
        (_, "not_a_coordinator") => "is this the URL of a HiveForge coordinator?",
        (401, _) => "set HIVEFORGE_TOKEN, or --data to the data directory of `hiveforge up`",
        (403, _) => "this token has not the right to do that",
        (404, _) => "`hiveforge job list` and `hiveforge agents list` show what there is",
        (507, _) => "the coordinator's disk is full",
        (429 | 503, _) => {
            return problem
                .retry_after
                .map(|seconds| format!("try again in {seconds} s"));
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use domain::JobSpec;

    use super::*;

    fn rendered(failure: &Failure) -> String {
        let text = anstream::adapter::strip_str(&failure.render()).to_string();
        format!("{text}[exit {}]", failure.code())
    }

    fn of_problem(problem: Problem) -> Failure {
        Failure::Client(ClientError::Problem(Box::new(problem)))
    }

    fn of_toml(text: &str) -> Failure {
        Failure::spec_file("job.toml", text, &JobSpec::from_toml(text).unwrap_err())
    }

    #[test]
    fn a_fault_in_a_file_is_shown_in_its_line() {
        insta::assert_snapshot!(rendered(&of_toml("command = [\"true\"]\ntimeout = \"5 parsecs\"\n")), @r#"
        error: `5 parsecs` is not a duration: write it like 90s, 250ms or 1h30m
          --> job.toml, line 2, column 11
         2 | timeout = "5 parsecs"
           |           ^
        [exit 65]
        "#);
        insta::assert_snapshot!(rendered(&of_toml("command = [\"true\"]\n\tcolour = 1\n")), @r#"
        error: unknown field `colour`, expected one of `name`, `command`, `script`, `shell`, `env`, `image`, `timeout`, `limits`, `requires`, `inputs`, `source`, `artifacts`, `max_attempts`, `priority`, `not_before`, `network`, `secrets`, `group`, `labels`
          --> job.toml, line 2, column 2
         2 | 	colour = 1
           | 	^
        [exit 65]
        "#);
        insta::assert_snapshot!(rendered(&of_toml("name = \"x\"\n")), @r#"
        error: command: it is empty: give a command such as ["make", "test"], or a script
        [exit 65]
        "#);
    }

    #[test]
    fn a_problem_is_shown_with_place_and_hint() {
        let error = JobSpec::from_json("{\n  \"command\": \"true\"\n}").unwrap_err();
        let problem = Problem::new(422, "spec_invalid", error.to_string()).with_spec_error(&error);
        insta::assert_snapshot!(rendered(&of_problem(problem)), @r#"
        error: invalid type: string "true", expected a list such as ["make", "test"]
          --> line 2, column 14
         2 | "command": "true"
        [exit 65]
        "#);
        let problem = Problem::new(404, "job_unknown", "there is no job default-01k");
        insta::assert_snapshot!(rendered(&of_problem(problem)), @r#"
        error: there is no job default-01k
        hint: `hiveforge job list` and `hiveforge agents list` show what there is
        [exit 64]
        "#);
        let problem = Problem::new(401, "unauthenticated", "a bearer token is needed");
        insta::assert_snapshot!(rendered(&of_problem(problem)), @r#"
        error: a bearer token is needed
        hint: set HIVEFORGE_TOKEN, or --data to the data directory of `hiveforge up`
        [exit 77]
        "#);
        let problem = Problem::new(503, "nexus_unavailable", "the nexus cannot be reached").retry_after(2);
        insta::assert_snapshot!(rendered(&of_problem(problem)), @r#"
        error: the nexus cannot be reached
        hint: try again in 2 s
        [exit 69]
        "#);
    }

    #[test]
    fn a_missing_coordinator_is_shown_with_the_way_out() {
        let failure = Failure::NoCoordinator {
            looked_at: "/state/hiveforge/url".into(),
        };
        insta::assert_snapshot!(rendered(&failure), @r#"
        error: no coordinator found (/state/hiveforge/url does not exist)
        hint: start one with `hiveforge up`, or set HIVEFORGE_COORDINATOR
        [exit 69]
        "#);
        let failure = Failure::Client(ClientError::Unreachable {
            url: "http://127.0.0.1:4711".into(),
            why: "Connection refused (os error 111)".into(),
        });
        insta::assert_snapshot!(rendered(&failure), @r#"
        error: cannot reach http://127.0.0.1:4711: Connection refused (os error 111)
        hint: is it running? HIVEFORGE_COORDINATOR or --coordinator name others, several with commas
        [exit 69]
        "#);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        assert_eq!(Failure::output(io::ErrorKind::BrokenPipe.into()).code(), 0);
        assert_eq!(
            Failure::output(io::ErrorKind::StorageFull.into()).code(),
            exit::LOCAL_FILE
        );
    }
}
