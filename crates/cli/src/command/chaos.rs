//! `hiveforge chaos inject|list|clear`: faults on purpose in a live process, for drills. Only with feature `faults`.

use bytes::Bytes;
use clap::{Args, Subcommand};
use domain::Span;
use protocol::chaos::{ChaosView, Injection, What, When};
use protocol::client::Options;
use protocol::observer::millis;
use serde_json::value::RawValue;

use crate::cli::Connection;
use crate::command::Context;
use crate::failure::Failure;
use crate::output::{self, OutputArgs};

/// Options of `chaos`.
#[derive(Debug, Args)]
pub(crate) struct Chaos {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Let something go wrong, once
    Inject {
        /// The actor's place, e.g. coordinator/dispatch; `hiveforge observer` lists them
        path: String,
        /// What: panic, error, hang, block=DURATION, delay=DURATION, kill
        #[arg(long, value_name = "FAULT", value_parser = what)]
        fault: What,
        /// When: start, message=N, stop [default: the next message; a kill is at once]
        #[arg(long, value_name = "MOMENT", value_parser = when)]
        at: Option<When>,
        /// In which coordinator of the mesh [default: the one that is asked]; `hiveforge observer` names them
        #[arg(long, value_name = "NAME")]
        on: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List what is still to happen, and what was done by whom
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take back what has not happened yet
    Clear {
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl Chaos {
    /// Does it, and prints what is waiting and on record.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let client = ctx.connect(&self.connection)?;
        let (format, reply): (_, Box<RawValue>) = match self.verb {
            Verb::Inject {
                path,
                fault,
                at,
                on,
                output,
            } => {
                let injection = Injection {
                    path,
                    when: at,
                    what: fault,
                    coordinator: on,
                };
                let reply = client.post("/v1/chaos", &injection, Options::default()).await?;
                (output.format, reply)
            }
            Verb::List { output } => (output.format, client.get("/v1/chaos", Options::default()).await?),
            Verb::Clear { output } => {
                let body = Bytes::from_static(b"{}");
                let reply = client.post_bytes("/v1/chaos/clear", body, Options::default());
                (output.format, reply.await?)
            }
        };
        output::print_object(format, &reply, |chaos: ChaosView| table(&chaos, ctx))
    }
}

/// A text that says no fault, or no moment.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it is panic, error, hang, block=DURATION, delay=DURATION or kill")]
    Fault,
    #[error("it is start, message=N or stop")]
    Moment,
    #[error(transparent)]
    NoSpan(#[from] domain::units::BadQuantity),
}

fn what(text: &str) -> Result<What, Unreadable> {
    let millis = |text: &str| -> Result<u64, Unreadable> { Ok(millis(text.parse::<Span>()?.duration())) };
    match text.split_once('=') {
        None => match text {
            "panic" => Ok(What::Panic),
            "error" => Ok(What::Error),
            "hang" => Ok(What::Hang),
            "kill" => Ok(What::Kill),
            _ => Err(Unreadable::Fault),
        },
        Some(("block", time)) => Ok(What::BlockMs(millis(time)?)),
        Some(("delay", time)) => Ok(What::DelayMs(millis(time)?)),
        Some(_) => Err(Unreadable::Fault),
    }
}

fn when(text: &str) -> Result<When, Unreadable> {
    match text.split_once('=') {
        None if text == "start" => Ok(When::Start),
        None if text == "stop" => Ok(When::Stop),
        Some(("message", number)) => number.parse().map(When::Message).map_err(|_| Unreadable::Moment),
        None | Some(_) => Err(Unreadable::Moment),
    }
}

/// What is waiting, then what is on record.
fn table(chaos: &ChaosView, ctx: &Context) -> String {
    let waiting = chaos.waiting.iter().map(|fault| {
        let when = fault.when.map_or_else(String::new, |when| when.to_string());
        vec![fault.path.clone(), fault.what.to_string(), when]
    });
    let acts = chaos.acts.iter().map(|act| {
        vec![
            output::ago(act.at, ctx.now),
            act.by.to_string(),
            act.act.replace('_', " "),
            act.path.clone().unwrap_or_default(),
            act.detail.clone(),
        ]
    });
    format!(
        "{}\n{}",
        output::table(&["WAITING AT", "FAULT", "WHEN"], waiting),
        output::table(&["WHEN", "WHO", "ACT", "ACTOR", "WHAT"], acts)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_and_moments_are_read_as_the_help_says() {
        assert_eq!(what("panic").unwrap(), What::Panic);
        assert_eq!(what("block=2s").unwrap(), What::BlockMs(2_000));
        assert_eq!(what("delay=250ms").unwrap(), What::DelayMs(250));
        assert_eq!(when("message=3").unwrap(), When::Message(3));
        assert_eq!(when("stop").unwrap(), When::Stop);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_choices() {
        for text in ["", "panics", "block", "panic=1s"] {
            assert!(matches!(what(text), Err(Unreadable::Fault)), "{text}");
        }
        assert!(matches!(what("block=2"), Err(Unreadable::NoSpan(_))));
        for text in ["", "message", "message=x", "message=-1", "start=1"] {
            assert!(matches!(when(text), Err(Unreadable::Moment)), "{text}");
        }
    }
}
