//! The tree of commands: what `hiveforge help` shows.
//!
//! Each command's own options are declared in its file under `command/`. Options that a client command needs to find a
//! coordinator are in [`Connection`], so that a role does not seem to take them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(feature = "faults")]
use crate::command::chaos;
use crate::command::{agent, agents, blob, completions, coordinator, job, observer, run, submit, up};
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  hiveforge up                              start everything on this machine
  hiveforge run -- make test                run a command, exit with its code
  hiveforge submit job.toml                 submit a job spec
  hiveforge job logs -f JOB                 follow a job's log

See `hiveforge help exit-codes` for the exit codes.";

/// A pull-based build and job system that never loses a job.
#[derive(Debug, Parser)]
#[command(name = "hiveforge", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Data directory [default: $HIVEFORGE_DATA, $XDG_STATE_HOME/hiveforge, ~/.local/state/hiveforge]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// When to use colours; NO_COLOR turns them off too
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// How a client command finds its coordinator.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Coordinator; several with commas, or given again [default: $HIVEFORGE_COORDINATOR, or what `hiveforge up` wrote]
    #[arg(
        long = "coordinator",
        visible_alias = "url",
        global = true,
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) coordinators: Vec<String>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Makes it the choice of the whole process.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything on this machine: a coordinator, an agent and an embedded store
    Up(up::Up),
    /// Run a coordinator alone
    Coordinator(Box<coordinator::Coordinator>),
    /// Run an agent alone
    Agent(agent::Agent),
    /// Run a command as a job: submit, follow, exit with the job's code
    Run(Box<run::Run>),
    /// Submit a job spec from a file
    Submit(submit::Submit),
    /// Look at jobs, cancel them, run them again
    Job(job::Job),
    /// Look at agents, drain and resume them
    Agents(agents::Agents),
    /// Store and fetch blobs by digest
    Blob(blob::Blob),
    /// Watch the live actors of a coordinator, and of the agent beside it
    Observer(observer::Observer),
    /// Let something go wrong in a live process, for a drill
    #[cfg(feature = "faults")]
    Chaos(chaos::Chaos),
    /// Print a completion script
    Completions(completions::Completions),
    /// Print the exit codes and what they mean
    #[command(long_about = exit::help())]
    ExitCodes,
}

impl Command {
    /// Says whether it is a part of the system, and not a client of it.
    pub(crate) const fn is_role(&self) -> bool {
        match self {
            Self::Up(_) | Self::Coordinator(_) | Self::Agent(_) => true,
            Self::Run(_)
            | Self::Submit(_)
            | Self::Job(_)
            | Self::Agents(_)
            | Self::Blob(_)
            | Self::Observer(_)
            | Self::Completions(_)
            | Self::ExitCodes => false,
            #[cfg(feature = "faults")]
            Self::Chaos(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The help of every command, in the order of the tree.
    fn helps(command: &mut clap::Command, path: &str, all: &mut String) {
        let line = "=".repeat(path.len());
        all.push_str(&format!("{path}\n{line}\n{}\n", command.render_long_help()));
        for sub in command.get_subcommands_mut() {
            if sub.get_name() != "help" && !sub.is_hide_set() {
                let below = format!("{path} {}", sub.get_name());
                helps(sub, &below, all);
            }
        }
    }

    /// The tree without what only builds for drills have.
    fn of_every_build() -> clap::Command {
        match cfg!(feature = "faults") {
            true => Cli::command().mut_subcommand("chaos", |chaos| chaos.hide(true)),
            false => Cli::command(),
        }
    }

    #[test]
    fn only_a_build_for_drills_has_chaos() {
        let has_chaos = Cli::command().find_subcommand("chaos").is_some();
        assert_eq!(has_chaos, cfg!(feature = "faults"));
    }

    #[cfg(feature = "faults")]
    #[test]
    fn chaos_has_its_help() {
        let mut tree = Cli::command().term_width(100);
        tree.build();
        let chaos = tree.find_subcommand_mut("chaos").expect("the build has it");
        let mut all = String::new();
        helps(chaos, "hiveforge chaos", &mut all);
        insta::assert_snapshot!(all);
    }

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_its_help() {
        let mut tree = of_every_build().term_width(100);
        tree.build();
        let mut all = String::new();
        helps(&mut tree, "hiveforge", &mut all);
        insta::assert_snapshot!(all);
    }

    #[test]
    fn the_documentation_names_every_command() {
        let documentation = include_str!("../../../docs/cli.md");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            if verbs.is_empty() {
                assert!(documentation.contains(&format!("`{name}")), "{name}");
            }
            for verb in verbs {
                assert!(
                    documentation.contains(&format!("`{name} {verb}")),
                    "{name} {verb}"
                );
            }
        }
    }
}
