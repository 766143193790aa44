//! Glob patterns for artifacts, checked as text.
//!
//! A pattern names something beneath the work directory or is refused, before any file is looked at. What it
//! says literally at its beginning spares the search every directory that it cannot mean.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::beneath::{PathError, RelativePath};

/// The longest pattern.
const PATTERN_BYTES_MAX: usize = 1024;
/// The most patterns of one job.
const PATTERNS_MAX: usize = 256;

/// Checked glob patterns: `*` and `?` stay within a name, `**` crosses directories.
#[derive(Debug, Clone)]
pub struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
    /// The directories that each pattern names literally at its beginning.
    prefixes: Vec<Vec<String>>,
}

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It could match outside of the work directory, or never.
    #[error("accept the pattern `{pattern}`")]
    Path {
        /// The text.
        pattern: String,
        /// What is wrong with it as a path.
        source: PathError,
    },
    /// It is no glob.
    #[error("accept the pattern `{pattern}`")]
    Syntax {
        /// The text.
        pattern: String,
        /// Where it is malformed.
        source: globset::Error,
    },
    /// It is too long, or there are too many.
    #[error("accept more than {PATTERNS_MAX} patterns, or one of more than {PATTERN_BYTES_MAX} bytes")]
    TooMany,
}

impl Patterns {
    /// Checks and compiles patterns. Their order is kept.
    pub fn parse(texts: &[String]) -> Result<Self, PatternError> {
        if texts.len() > PATTERNS_MAX || texts.iter().any(|text| text.len() > PATTERN_BYTES_MAX) {
            return Err(PatternError::TooMany);
        }
        let mut set = GlobSetBuilder::new();
        for text in texts {
            let path = |source| PatternError::Path {
                pattern: text.clone(),
                source,
            };
            RelativePath::parse(text).map_err(path)?;
            let syntax = |source| PatternError::Syntax {
                pattern: text.clone(),
                source,
            };
            set.add(
                GlobBuilder::new(text)
                    .literal_separator(true)
                    .build()
                    .map_err(syntax)?,
            );
        }
        let syntax = |source| PatternError::Syntax {
            pattern: texts.join(" "),
            source,
        };
        Ok(Self {
            texts: texts.to_vec(),
            set: set.build().map_err(syntax)?,
            prefixes: texts.iter().map(|text| literal_prefix(text)).collect(),
        })
    }

    /// Returns the patterns as they were given.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns the positions of the patterns that match a path.
    pub(super) fn matches(&self, path: &str) -> Vec<usize> {
        self.set.matches(path)
    }

    /// Whether anything beneath this directory could match.
    pub(super) fn may_match_beneath(&self, dir: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            let mut walked = dir.split('/');
            prefix
                .iter()
                .zip(&mut walked)
                .all(|(literal, component)| literal == component)
        })
    }
}

fn literal_prefix(pattern: &str) -> Vec<String> {
    let is_literal = |component: &&str| !component.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let mut components: Vec<&str> = pattern.split('/').collect();
    components.pop();
    components
        .into_iter()
        .take_while(is_literal)
        .map(str::to_owned)
        .collect()
}
