//! Good things that must be possible: without them a model that does nothing would keep every promise.

use domain::{Job, State};

use crate::world::World;

/// The sentences that the checker shows.
pub(crate) const WITNESSES: [&str; 5] = [
    "a retry succeeds",
    "a cancel ends a running job",
    "a finish wins over a cancel",
    "a held job is returned and completed",
    "a grace saves a lease",
];

pub(crate) fn retry_succeeds(world: &World) -> bool {
    jobs(world).any(|job| succeeded(job) && job.attempt > 1 && job.charged > 1)
}

pub(crate) fn cancel_ends_a_run(world: &World) -> bool {
    jobs(world).any(|job| matches!(&job.state, State::Cancelled { attempt: Some(_), .. }))
}

pub(crate) fn finish_wins_over_cancel(world: &World) -> bool {
    let cancelled = world.ghost.cancels.iter();
    cancelled.map(|n| world.pool.job(*n).job()).any(succeeded)
}

pub(crate) fn returned_hold_completes(world: &World) -> bool {
    world.ghost.returned && jobs(world).any(succeeded)
}

fn jobs(world: &World) -> impl Iterator<Item = &Job> {
    (0..world.pool.n_jobs()).map(|n| world.pool.job(n).job())
}

fn succeeded(job: &Job) -> bool {
    matches!(job.state, State::Succeeded { .. })
}
