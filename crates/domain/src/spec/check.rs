//! Reading a spec from text, and the rules that types alone do not state.
//!
//! Each rule is one line of [`JobSpec::check`], names its field and says how to do it right.

use globset::GlobBuilder;

use crate::requirement::{is_label_key, is_label_value};
use crate::spec::{JobSpec, SpecError, locate};
use crate::units::{ByteSize, Span};

/// Most bytes of a canonical spec.
pub const SPEC_BYTES_MAX: usize = 64 * 1024;
/// Most arguments of a command.
pub const ARGUMENTS_MAX: usize = 4096;
/// Most environment variables, inputs, requirements, artifacts, secrets and labels, each.
pub const ENTRIES_MAX: usize = 256;
/// Most characters of a name.
pub(super) const NAME_CHARS_MAX: usize = 80;
/// Most attempts.
pub const MAX_ATTEMPTS_MAX: u32 = 20;
/// Longest timeout.
pub const TIMEOUT_MAX: Span = Span::from_secs(30 * 86_400);
/// Greatest and, negated, smallest priority.
pub const PRIORITY_MAX: i8 = 100;
/// Greatest limit of a log: so much that its parts are still listed in one record.
pub const LOG_LIMIT_MAX: ByteSize = ByteSize(512 << 20);
/// Most jobs of one group at once.
const GROUP_LIMIT_MAX: u32 = 10_000;

impl JobSpec {
    /// Reads a spec from TOML.
    ///
    /// # Errors
    /// The text is no TOML, has an unknown field or a bad value, or breaks a rule.
    pub fn from_toml(text: &str) -> Result<Self, SpecError> {
        let spec: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            SpecError::at_offset(text, offset, error.message())
        })?;
        spec.check()
            .map_err(|error| error.located(text, locate::field_in_toml))?;
        Ok(spec)
    }

    /// Reads a spec from JSON.
    ///
    /// # Errors
    /// The text is no JSON, has an unknown field or a bad value, or breaks a rule.
    pub fn from_json(text: &str) -> Result<Self, SpecError> {
        let spec: Self = serde_json::from_str(text).map_err(|error| {
            let full = error.to_string();
            let message = full
                .rsplit_once(" at line ")
                .map_or(full.as_str(), |(message, _)| message);
            SpecError::at_offset(text, locate::fault_in_json(text, &error), message)
        })?;
        spec.check()
            .map_err(|error| error.located(text, locate::field_in_json))?;
        Ok(spec)
    }

    /// Checks the rules that types alone do not state.
    ///
    /// # Errors
    /// The first rule that is broken, with its field.
    pub fn check(&self) -> Result<(), SpecError> {
        self.check_command()?;
        self.check_env()?;
        self.check_bounds()?;
        self.check_files()?;
        self.check_words()?;
        let bytes = self.canonical().len();
        rule(bytes <= SPEC_BYTES_MAX, "spec", || {
            format!("it has {bytes} bytes, at most {SPEC_BYTES_MAX} are allowed: pass large data as inputs")
        })
    }

    fn check_command(&self) -> Result<(), SpecError> {
        rule(
            !(self.command.is_empty() && self.script.is_none()),
            "command",
            || "it is empty: give a command such as [\"make\", \"test\"], or a script".to_owned(),
        )?;
        rule(self.command.is_empty() || self.script.is_none(), "script", || {
            "command and script are both given: keep one of them".to_owned()
        })?;
        rule(self.shell.is_empty() || self.script.is_some(), "shell", || {
            "it runs a script, but there is none".to_owned()
        })?;
        let program = if self.script.is_some() { "shell" } else { "command" };
        let argv = self.argv();
        rule(argv.first().is_some_and(|name| !name.is_empty()), program, || {
            "the program's name is empty".to_owned()
        })?;
        rule(argv.len() <= ARGUMENTS_MAX, program, || {
            format!(
                "it has {} arguments, at most {ARGUMENTS_MAX} are allowed",
                argv.len()
            )
        })?;
        let nul = || "it contains a NUL character, which no program can be given".to_owned();
        let script = self.script.as_deref().unwrap_or_default();
        rule(!script.contains('\0'), "script", nul)?;
        rule(!argv.iter().any(|argument| argument.contains('\0')), program, nul)
    }

    fn check_env(&self) -> Result<(), SpecError> {
        entries("env", self.env.len())?;
        for (key, value) in &self.env {
            let field = format!("env.{key}");
            let named = !key.is_empty() && !key.contains(['=', '\0']);
            rule(named, &field, || {
                format!("`{key}` is no variable name: it is empty or contains `=` or NUL")
            })?;
            rule(!key.starts_with("HIVEFORGE_"), &field, || {
                "names that begin with HIVEFORGE_ are set by the agent".to_owned()
            })?;
            rule(!value.contains('\0'), &field, || {
                "the value contains a NUL character".to_owned()
            })?;
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), SpecError> {
        rule(
            self.timeout > Span::from_millis(0) && self.timeout <= TIMEOUT_MAX,
            "timeout",
            || {
                format!(
                    "`{}` is not allowed: it is more than 0 and at most {TIMEOUT_MAX}",
                    self.timeout
                )
            },
        )?;
        rule(
            (1..=MAX_ATTEMPTS_MAX).contains(&self.max_attempts),
            "max_attempts",
            || {
                format!(
                    "`{}` is not allowed: it is 1 to {MAX_ATTEMPTS_MAX}",
                    self.max_attempts
                )
            },
        )?;
        rule(
            (-PRIORITY_MAX..=PRIORITY_MAX).contains(&self.priority),
            "priority",
            || {
                format!(
                    "`{}` is not allowed: it is -{PRIORITY_MAX} to {PRIORITY_MAX}",
                    self.priority
                )
            },
        )?;
        let limit = self.group.as_ref().map_or(1, |group| group.limit);
        rule((1..=GROUP_LIMIT_MAX).contains(&limit), "group.limit", || {
            format!("`{limit}` is not allowed: it is 1 to {GROUP_LIMIT_MAX}")
        })?;
        rule(self.limits.pids != Some(0), "limits.pids", || {
            "`0` leaves no process to run".to_owned()
        })
    }

    fn check_files(&self) -> Result<(), SpecError> {
        entries("inputs", self.inputs.len())?;
        for path in self.inputs.keys() {
            rule(is_safe_path(path), &format!("inputs.{path}"), || {
                format!("`{path}` is no path beneath the work directory: no leading `/`, no `.` or `..` part")
            })?;
        }
        entries("artifacts", self.artifacts.len())?;
        for artifact in &self.artifacts {
            let glob = &artifact.glob;
            let inside = !glob.starts_with('/') && !glob.split('/').any(|part| part == "..");
            rule(inside && !glob.is_empty(), "artifacts", || {
                format!("`{glob}` is not beneath the work directory: no leading `/`, no `..` part")
            })?;
            GlobBuilder::new(glob)
                .literal_separator(true)
                .build()
                .map_err(|error| {
                    SpecError::of_field("artifacts", format!("`{glob}` is no glob: {}", error.kind()))
                })?;
        }
        for (field, text) in [
            ("image", self.image.as_deref()),
            (
                "source.git",
                self.source.as_ref().map(|source| source.git.as_str()),
            ),
        ] {
            rule(text.is_none_or(is_reference), field, || {
                format!(
                    "`{}` is not allowed: it is not empty, has no space and does not begin with `-`",
                    text.unwrap_or_default().escape_debug()
                )
            })?;
        }
        let commit = self.source.as_ref().map_or("", |source| &source.commit);
        let exact = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        rule(self.source.is_none() || exact, "source.commit", || {
            format!("`{commit}` is not a commit: give all 40 hexadecimal digits")
        })
    }

    fn check_words(&self) -> Result<(), SpecError> {
        let name = self.name.as_deref().unwrap_or("-");
        let readable =
            (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        rule(readable, "name", || {
            format!(
                "`{}` is not allowed: 1 to {NAME_CHARS_MAX} printable characters",
                name.escape_debug()
            )
        })?;
        entries("requires", self.requires.len())?;
        entries("secrets", self.secrets.len())?;
        entries("labels", self.labels.len())?;
        for (key, value) in &self.labels {
            rule(
                is_label_key(key) && is_label_value(value),
                &format!("labels.{key}"),
                || {
                    format!(
                        "`{key} = {value}` is no label: keys and values are 1 to 63 letters, digits or `._-/`"
                    )
                },
            )?;
        }
        Ok(())
    }
}

/// Says whether a path stays beneath the directory that it is resolved in, by its text alone.
pub fn is_safe_path(path: &str) -> bool {
    !path.is_empty() && !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Says whether a text can name an image or a repository; one that begins with `-` would be read as an option.
fn is_reference(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn rule(holds: bool, field: &str, message: impl FnOnce() -> String) -> Result<(), SpecError> {
    if holds {
        Ok(())
    } else {
        Err(SpecError::of_field(field, message()))
    }
}

fn entries(field: &str, count: usize) -> Result<(), SpecError> {
    rule(count <= ENTRIES_MAX, field, || {
        format!("it has {count} entries, at most {ENTRIES_MAX} are allowed")
    })
}
