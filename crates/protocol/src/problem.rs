//! Errors on the wire: RFC 9457 problem documents with a stable code.
//!
//! `code` is what programs look at; it never changes its meaning. `detail` names the field, the value and the way out.

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI reference to the explanation in the documentation.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code, e.g. `spec_invalid`.
    pub code: String,
    /// What is wrong in this case.
    pub detail: String,
    /// Each fault, where there can be several or a place is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// How long to wait before trying again, in seconds; the `Retry-After` header says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// One fault and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is wrong.
    pub detail: String,
    /// The field, e.g. `limits.pids`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The line of the text, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The line's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Problem {
    /// A problem with this status and code. The code's title is the code in words.
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/docs/api#{code}"),
            title: code.replace('_', " "),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// The same, with the place of the fault in a spec.
    #[must_use]
    pub fn with_spec_error(mut self, error: &domain::SpecError) -> Self {
        self.errors.push(Fault {
            detail: error.message.clone(),
            field: error.field.clone(),
            line: error.at.as_ref().map(|at| at.line),
            column: error.at.as_ref().map(|at| at.column),
            text: error.at.as_ref().map(|at| at.text.clone()),
        });
        self
    }

    /// The same, with a time after which to try again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl std::error::Error for Problem {}
