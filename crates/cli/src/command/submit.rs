//! `hiveforge submit FILE|-`: specs from a file, checked here before anything is sent.
//!
//! The coordinator checks again; the check here knows the file, so it can name file, line and column.

mod batch;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use domain::{JobSpec, SpecError};
use protocol::client::Client;
use protocol::jobs::Submitted;
use protocol::limits::JSON_BODY_BYTES_MAX;
use serde_json::value::RawValue;

use crate::cli::Connection;
use crate::command::Context;
use crate::create::{Key, create_once};
use crate::failure::Failure;
use crate::output::{self, Format, OutputArgs};

/// Largest file that is read: one request's worth for each of this many requests.
const FILE_BYTES_MAX: u64 = 16 * JSON_BODY_BYTES_MAX as u64;

/// Options of `submit`.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// Job spec in TOML or JSON, or - for standard input
    file: PathBuf,
    /// Read many specs: a JSON array, or one JSON object a line
    #[arg(long)]
    batch: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

impl Submit {
    /// Submits and prints the ids.
    ///
    /// # Errors
    /// The file cannot be read or is wrong, or the coordinator refuses.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let text = read(&self.file)?;
        let name = self.file.display().to_string();
        if self.batch {
            let items = batch::parse(&name, &text)?;
            let client = ctx.connect(&self.connection)?;
            return batch::submit(&client, &items, self.output.format).await;
        }
        let spec = parse(&self.file, &text).map_err(|error| Failure::spec_file(&name, &text, &error))?;
        let client = ctx.connect(&self.connection)?;
        let reply = post(&client, &spec, &Key::fresh()).await?;
        print_submitted(self.output.format, &reply)
    }
}

/// Submits one spec, unless that was done with this key before.
///
/// # Errors
/// The coordinator refuses or cannot be reached.
pub(crate) async fn post(client: &Client, spec: &JobSpec, key: &Key) -> Result<Box<RawValue>, Failure> {
    let body = serde_json::to_vec(spec).expect("a spec has text keys only, so JSON can write it");
    create_once(client, "/v1/jobs", body.into(), key).await
}

/// Prints a new job's id, and its warnings on stderr.
///
/// # Errors
/// The reply cannot be read or the output not be written.
pub(crate) fn print_submitted(format: Format, reply: &RawValue) -> Result<(), Failure> {
    let submitted: Submitted = output::read(reply)?;
    submitted
        .warnings
        .iter()
        .for_each(|warning| output::warn(warning));
    output::print_object(format, reply, |submitted: Submitted| {
        format!("{}\n", submitted.id)
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |why| Failure::file("read", file, why);
    let mut text = String::new();
    let source: Box<dyn io::Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    let length = source
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(text)
}

/// By the name if it says what the file is, else by the first character.
fn parse(file: &Path, text: &str) -> Result<JobSpec, SpecError> {
    let is_json = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    if is_json {
        JobSpec::from_json(text)
    } else {
        JobSpec::from_toml(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_the_form_and_then_the_first_character() {
        let json = "\n {\"command\": [\"true\"]}";
        let toml = "command = [\"true\"]";
        for (file, text) in [
            ("a.json", json),
            ("a.toml", toml),
            ("-", json),
            ("-", toml),
            ("job", toml),
        ] {
            assert_eq!(
                parse(Path::new(file), text).unwrap().command,
                ["true"],
                "{file}: {text}"
            );
        }
        assert!(parse(Path::new("a.toml"), json).is_err());
    }
}
