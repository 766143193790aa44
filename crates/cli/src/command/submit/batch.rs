//! Many specs from one file: a JSON array, or one JSON object a line.
//!
//! All of them are checked before the first is sent, and a fault is named by its line and column in the file. What the
//! coordinator refuses nevertheless is listed, and refuses none of the others.

use domain::spec::SpecError;
use domain::{JobId, JobSpec};
use protocol::client::Client;
use protocol::jobs::{BatchItem, BatchSubmit, BatchSubmitted};
use protocol::limits::{BATCH_JOBS_MAX, JSON_BODY_BYTES_MAX};
use serde_json::value::RawValue;

use crate::create::create;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Bytes of specs in one request; the rest is room for what is around them.
const REQUEST_BYTES_MAX: usize = JSON_BODY_BYTES_MAX / 2;

/// Reads and checks the specs of a file.
///
/// # Errors
/// The file is neither an array nor lines of objects, or one of its specs is wrong.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Box<RawValue>>, Failure> {
    let items = if text.trim_start().starts_with('[') {
        serde_json::from_str::<Vec<&RawValue>>(text)
    } else {
        serde_json::Deserializer::from_str(text).into_iter().collect()
    };
    let items = items.map_err(|error| Failure::BatchFile {
        file: file.to_owned(),
        why: error.to_string(),
    })?;
    for item in &items {
        JobSpec::from_json(item.get())
            .map_err(|error| Failure::spec_file(file, text, &placed(error, item.get(), text)))?;
    }
    Ok(items.into_iter().map(RawValue::to_owned).collect())
}

/// Moves a place in an item to the place in the whole text.
fn placed(mut error: SpecError, item: &str, text: &str) -> SpecError {
    let offset = (item.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    if let Some(at) = &mut error.at {
        if at.line == 1 {
            at.column += before.get(line_start..).unwrap_or_default().chars().count();
        }
        at.line += before.matches('\n').count();
    }
    error
}

/// Submits the specs, a request's worth at a time, and prints the ids in their order.
///
/// # Errors
/// A request fails as a whole, or some items were refused.
pub(super) async fn submit(client: &Client, items: &[Box<RawValue>], format: Format) -> Result<(), Failure> {
    let mut done = 0;
    let mut refused = 0;
    let mut replies = Vec::new();
    while done < items.len() {
        let rest = items.get(done..).unwrap_or_default();
        let part = rest.get(..fitting(rest)).unwrap_or(rest);
        let batch = BatchSubmit { jobs: part.to_vec() };
        let body = serde_json::to_vec(&batch).expect("raw JSON is JSON");
        let reply: Box<RawValue> = create(client, "/v1/jobs/batch", body.into()).await?;
        refused += tell_refused(&output::read(&reply)?, done);
        if format == Format::Json {
            replies.push(reply);
        } else {
            output::print_list(format, &reply, |batch: BatchSubmitted| ids(&batch))?;
        }
        done += part.len();
    }
    if format == Format::Json {
        print_joined(&replies)?;
    }
    match refused {
        0 => Ok(()),
        refused => Err(Failure::ItemsRefused {
            refused,
            total: items.len(),
        }),
    }
}

/// How many of the items go into one request; at least one.
fn fitting(items: &[Box<RawValue>]) -> usize {
    let mut bytes = 0;
    let fit = items.iter().take(BATCH_JOBS_MAX).take_while(|item| {
        bytes += item.get().len() + 1;
        bytes <= REQUEST_BYTES_MAX
    });
    fit.count().max(1)
}

/// Names the refused items on stderr and returns how many there are. Items count from 1.
fn tell_refused(batch: &BatchSubmitted, before: usize) -> usize {
    let mut refused = 0;
    for (index, item) in batch.items.iter().enumerate() {
        match item {
            BatchItem::Submitted(submitted) => {
                submitted
                    .warnings
                    .iter()
                    .for_each(|warning| output::warn(warning));
            }
            BatchItem::Refused(problem) => {
                refused += 1;
                output::warn(&format!(
                    "job {} of the batch was refused: {}",
                    before + index + 1,
                    problem.detail
                ));
            }
        }
    }
    refused
}

fn ids(batch: &BatchSubmitted) -> String {
    let id = |item: &BatchItem| match item {
        BatchItem::Submitted(submitted) => Some(submitted.id.clone()),
        BatchItem::Refused(_) => None,
    };
    batch
        .items
        .iter()
        .filter_map(id)
        .map(|id: JobId| format!("{id}\n"))
        .collect()
}

/// One object for the whole file, however many requests it took.
fn print_joined(replies: &[Box<RawValue>]) -> Result<(), Failure> {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Items<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let mut all = Items { items: Vec::new() };
    for reply in replies {
        all.items.extend(output::read::<Items<'_>>(reply)?.items);
    }
    let text = serde_json::to_string(&all).expect("raw JSON is JSON");
    output::print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        parse("jobs", text)
            .unwrap()
            .iter()
            .map(|item| item.get().to_owned())
            .collect()
    }

    #[test]
    fn an_array_and_lines_give_the_same_items() {
        let (one, two) = ("{\"command\":[\"a\"]}", "{\"command\":[\"b\"]}");
        assert_eq!(parsed(&format!("[{one},\n {two}]")), [one, two]);
        assert_eq!(parsed(&format!("{one}\n{two}\n")), [one, two]);
        assert!(parsed("").is_empty());
    }

    #[test]
    fn a_fault_is_named_by_its_place_in_the_file() {
        let text = "[{\"command\":[\"a\"]},\n  {\"command\":[\"b\"], \"colour\":1}]";
        let failure = parse("jobs", text).unwrap_err().render();
        assert!(failure.contains("jobs, line 2, column 21\n"), "{failure}");
    }

    #[test]
    fn a_request_takes_a_thousand_jobs_and_never_none() {
        let small: Box<RawValue> = serde_json::from_str("{}").unwrap();
        assert_eq!(fitting(&vec![small; 2_500]), BATCH_JOBS_MAX);
        let large = format!("\"{}\"", "x".repeat(REQUEST_BYTES_MAX));
        assert_eq!(fitting(&[serde_json::from_str(&large).unwrap()]), 1);
    }
}
