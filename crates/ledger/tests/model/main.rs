//! The model checker: every order in which things can happen to one or two jobs, up to a bound.
//!
//! What takes the steps is the code that runs: the rules and plans of `domain`, the plans and transactions of `ledger`
//! and the reference store of `nexus`. The model adds what is around them: two coordinators that crash between any two
//! steps, two agents that freeze and die, lost and repeated requests, a clock. `promises` says what must hold,
//! `mutation` takes guards away to show that the checker would notice.
//!
//! A small bound runs with the other tests; `make model-nightly` (HIVEFORGE_MODEL=nightly) goes on from there.

extern crate hiveforge_ledger as ledger;

mod agent;
mod bounds;
mod check;
mod coordinator;
mod model;
mod mutation;
mod pool;
mod promises;
mod sample;
mod untold;
mod view;
mod witness;
mod world;
