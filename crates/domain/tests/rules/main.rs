//! The rules, tested from outside: what a job does, how a spec is read, and what stored bytes mean.
//!
//! `table` and `transitions` say what happens in each state on each event, `promises` checks what must hold after any
//! sequence of events, `canonical` and `record` hold the bytes that must never change, `reading` and `faults` show the
//! edge as a user meets it, and `lifecycle_page` keeps docs/job-lifecycle.md true.
//!
//! `situation`, `walk`, `specs` and `sample` are what they share: a job in every situation worth telling apart, random
//! lives of jobs, random specs, and fixed values.

extern crate hiveforge_domain as domain;

mod canonical;
mod faults;
mod lifecycle_page;
mod promises;
mod reading;
mod record;
mod sample;
mod situation;
mod specs;
mod table;
mod transitions;
mod walk;
