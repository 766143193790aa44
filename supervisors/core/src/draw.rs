//! Draws a tree: who supervises whom, and what happens when it ends.
//!
//! The one idea: the picture in `supervisors/README.md` is made from the value that is started, so it cannot be wrong.
//! Children stand in start order. What every supervisor and worker does by default is not repeated in each line.

use std::fmt::Write as _;

use crate::directory::Kind;
use crate::spec::{AutoShutdown, Backoff, Body, ChildSpec, Intensity, Restart, Shutdown, Strategy, TreeSpec};

/// Returns the tree as text, one line for each child, ended by a line feed.
pub fn draw(name: &str, tree: &TreeSpec) -> String {
    let mut rows = vec![Row {
        label: name.to_owned(),
        rules: tree_rules(tree),
    }];
    children_rows(&mut rows, "", &tree.children);
    layout(&rows)
}

pub(crate) fn draw_child(child: &ChildSpec) -> String {
    let mut rows = Vec::new();
    child_rows(&mut rows, "", "", child);
    layout(&rows)
}

struct Row {
    label: String,
    rules: String,
}

fn layout(rows: &[Row]) -> String {
    let width = rows
        .iter()
        .map(|row| row.label.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for Row { label, rules } in rows {
        let padding = width - label.chars().count();
        writeln!(text, "{label}{:padding$}  {rules}", "").expect("writing to a string does not fail");
    }
    text
}

fn children_rows(rows: &mut Vec<Row>, indent: &str, children: &[ChildSpec]) {
    for (at, child) in children.iter().enumerate() {
        let (branch, below) = if at + 1 == children.len() {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        child_rows(
            rows,
            &format!("{indent}{branch}"),
            &format!("{indent}{below}"),
            child,
        );
    }
}

fn child_rows(rows: &mut Vec<Row>, first: &str, indent: &str, child: &ChildSpec) {
    let mut rules = restart_rule(child);
    let id = &child.id;
    match &child.body {
        Body::Worker(_) => rows.push(Row {
            label: format!("{first}{id}"),
            rules,
        }),
        Body::Supervisor(tree) => {
            write!(rules, " | {}", tree_rules(tree)).expect("writing to a string does not fail");
            rows.push(Row {
                label: format!("{first}{id}"),
                rules,
            });
            children_rows(rows, indent, &tree.children);
        }
        Body::Dynamic(shape) => {
            let (max, intensity) = (shape.max_children, intensity(&shape.intensity));
            write!(rules, " | dynamic, at most {max}, {intensity}")
                .expect("writing to a string does not fail");
            rows.push(Row {
                label: format!("{first}{id}"),
                rules,
            });
            if let Some(example) = &shape.example {
                child_rows(rows, &format!("{indent}└╌ "), &format!("{indent}   "), &example());
            }
        }
    }
}

fn tree_rules(tree: &TreeSpec) -> String {
    let strategy = match tree.strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::OneForAll => "one_for_all",
        Strategy::RestForOne => "rest_for_one",
    };
    let ends = match tree.auto_shutdown {
        AutoShutdown::Never => "",
        AutoShutdown::AnySignificant => ", ends with any significant child",
        AutoShutdown::AllSignificant => ", ends with the last significant child",
    };
    format!("{strategy}, {}{ends}", intensity(&tree.intensity))
}

fn restart_rule(child: &ChildSpec) -> String {
    let restart = match child.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    let significant = if child.significant { ", significant" } else { "" };
    let shutdown = match child.shutdown {
        Shutdown::BrutalKill => "killed".to_owned(),
        Shutdown::Timeout(limit) => format!("stops within {limit:?}"),
        Shutdown::Infinity if child.kind() == Kind::Worker => "stops in its own time".to_owned(),
        Shutdown::Infinity => "stops after its children".to_owned(),
    };
    let backoff = child
        .backoff
        .map_or_else(String::new, |Backoff { base, max, .. }| {
            format!(", restarted after {base:?} to {max:?}")
        });
    format!("{restart}{significant}, {shutdown}{backoff}")
}

fn intensity(Intensity { max, within }: &Intensity) -> String {
    format!("{max} in {within:?}")
}
