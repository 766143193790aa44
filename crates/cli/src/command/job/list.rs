//! `hiveforge job list`: one page, newest first.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use domain::Timestamp;
use domain::job::StateName;
use protocol::client::{Client, Options};
use protocol::jobs::{JobList, JobView};
use serde_json::value::RawValue;

use crate::escape;
use crate::failure::Failure;
use crate::output::{self, OutputArgs, STATE_COLUMN};

/// Options of `job list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only jobs in this state
    #[arg(long, value_parser = states())]
    state: Option<StateName>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The page that begins here; a page names its next one
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

fn states() -> impl clap::builder::TypedValueParser<Value = StateName> {
    PossibleValuesParser::new(StateName::ALL.map(StateName::as_str)).map(|text| {
        let named = StateName::ALL.into_iter().find(|state| state.as_str() == text);
        named.expect("the parser lets through the names of states only")
    })
}

impl List {
    /// Prints the page.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(super) async fn run(self, client: &Client, now: Timestamp) -> Result<(), Failure> {
        let reply: Box<RawValue> = client.get(&self.path(), Options::default()).await?;
        output::print_list(self.output.format, &reply, |page: JobList| table(&page, now))
    }

    fn path(&self) -> String {
        let query: Vec<String> = [
            self.state.map(|state| format!("state={state}")),
            self.limit.map(|limit| format!("limit={limit}")),
            self.cursor
                .as_deref()
                .map(|cursor| format!("cursor={}", escape::segment(cursor))),
        ]
        .into_iter()
        .flatten()
        .collect();
        if query.is_empty() {
            "/v1/jobs".to_owned()
        } else {
            format!("/v1/jobs?{}", query.join("&"))
        }
    }
}

fn table(page: &JobList, now: Timestamp) -> String {
    let header = ["ID", STATE_COLUMN, "NAME", "AGENT", "SUBMITTED", "TOOK", "CAUSE"];
    let mut text = output::table(&header, page.items.iter().map(|job| row(job, now)));
    if let Some(next) = &page.next {
        text.push_str(&format!("\nmore: --cursor {next}\n"));
    }
    text
}

fn row(job: &JobView, now: Timestamp) -> Vec<String> {
    let took = job
        .started_at
        .map(|started| job.ended_at.unwrap_or(now).since(started));
    vec![
        job.id.to_string(),
        job.state.to_string(),
        job.name.clone(),
        job.agent
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string),
        output::ago(job.submitted_at, now),
        took.map_or_else(|| "-".to_owned(), output::rounded),
        job.cause_text.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_filter_becomes_a_query_that_the_cursor_cannot_break_out_of() {
        let list = List {
            state: Some(StateName::Failed),
            limit: Some(5),
            cursor: Some("a&b=c".to_owned()),
            output: OutputArgs {
                format: Format::Table,
            },
        };
        assert_eq!(list.path(), "/v1/jobs?state=failed&limit=5&cursor=a%26b%3Dc");
    }
}
