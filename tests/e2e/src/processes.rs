//! Processes of jobs, found by what every one of them inherits: the environment of its attempt.
//!
//! So nothing that a job started can hide in another process group or session. The dead that nobody has buried yet have
//! no environment and do not count.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use domain::JobId;

/// A living process of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its process id.
    pub pid: u32,
    /// Its command line, blanks between the arguments.
    pub command: String,
}

/// The living processes of all attempts of a job.
///
/// # Errors
/// `/proc` cannot be read.
pub fn of_job(job: &JobId) -> Result<Vec<Found>> {
    let id = format!("HIVEFORGE_JOB_ID={job}");
    find(|variables| has(variables, &id))
}

/// The living processes of one attempt.
///
/// # Errors
/// `/proc` cannot be read.
pub fn of_attempt(job: &JobId, attempt: u32) -> Result<Vec<Found>> {
    let id = format!("HIVEFORGE_JOB_ID={job}");
    let number = format!("HIVEFORGE_ATTEMPT={attempt}");
    find(|variables| has(variables, &id) && has(variables, &number))
}

/// The living processes of all jobs whose work directories are beneath a directory.
///
/// # Errors
/// `/proc` cannot be read.
pub fn within(directory: &Path) -> Result<Vec<Found>> {
    let home = format!("HOME={}/", directory.display());
    find(|variables| {
        variables
            .iter()
            .any(|variable| variable.starts_with("HIVEFORGE_JOB_ID="))
            && variables.iter().any(|variable| variable.starts_with(&home))
    })
}

fn has(variables: &[String], variable: &str) -> bool {
    variables.iter().any(|found| found == variable)
}

fn find(is_it: impl Fn(&[String]) -> bool) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list processes")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end while it is looked at, or belong to somebody else.
        let environment = fields(&format!("/proc/{pid}/environ"));
        if is_it(&environment) {
            let command = fields(&format!("/proc/{pid}/cmdline")).join(" ");
            found.push(Found { pid, command });
        }
    }
    Ok(found)
}

fn fields(file: &str) -> Vec<String> {
    let bytes = fs::read(file).unwrap_or_default();
    let fields = bytes.split(|&byte| byte == 0).filter(|field| !field.is_empty());
    fields
        .map(|field| String::from_utf8_lossy(field).into_owned())
        .collect()
}
