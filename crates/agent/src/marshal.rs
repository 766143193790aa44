//! The marshal: sees to it that every run has a slot that is served, and that nothing is left lying about.
//!
//! The actors of a slot are started when the slot is first needed and stay. If they fail so often that their supervisor
//! gives up, the run in the slot goes on unwatched until the marshal finds it at its next look, and has it served again. It
//! also gives back leases that wait too long, and removes the work directories of runs that are over.

use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Dynamic, Failure, Handle, StartChildError};
use tokio::task::spawn_blocking;

use crate::Station;
use crate::clock::BootTime;
use crate::run::Run;

/// How often it looks without being woken.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the marshal.
pub enum Msg {
    /// It is time to look.
    Tick,
    /// There is more to start than slots that are served.
    Unserved,
    /// Slots were staffed, or could not be.
    Staffed,
    /// A run is over and has left something on disk.
    Trash,
    /// What runs left was removed.
    Removed,
}

/// See the module.
pub struct Marshal {
    station: Arc<Station>,
    runs: Dynamic<usize>,
}

/// What dies with the marshal.
#[derive(Default)]
pub struct State {
    staffing: bool,
    removing: bool,
}

/// Restarted after any exit. `runs` is the supervisor that starts the actors of a slot.
pub fn child_spec(station: &Arc<Station>, runs: &Dynamic<usize>) -> ChildSpec {
    let (station, runs) = (Arc::clone(station), runs.clone());
    let make = move || Marshal {
        station: Arc::clone(&station),
        runs: runs.clone(),
    };
    ChildSpec::worker("marshal", &Handle::new("marshal", MAILBOX), make)
}

impl Actor for Marshal {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        self.listen(ctx)?;
        self.listen_for_trash(ctx)?;
        ctx.tell_self(Msg::Tick);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Tick => {
                ctx.tick_after(LOOK, Msg::Tick);
                self.station.table.give_back_stale(BootTime::now());
                self.clear_away(ctx, state)?;
            }
            Msg::Unserved => self.listen(ctx)?,
            Msg::Trash => {
                self.listen_for_trash(ctx)?;
                self.clear_away(ctx, state)?;
            }
            Msg::Staffed => state.staffing = false,
            Msg::Removed => {
                state.removing = false;
                self.clear_away(ctx, state)?;
            }
        }
        self.staff(ctx, state)
    }
}

impl Marshal {
    fn listen(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let table = Arc::clone(&self.station.table);
        ctx.task(async move {
            table.bells.unserved.notified().await;
            Msg::Unserved
        })?;
        Ok(())
    }

    fn listen_for_trash(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let table = Arc::clone(&self.station.table);
        ctx.task(async move {
            table.bells.trash.notified().await;
            Msg::Trash
        })?;
        Ok(())
    }

    /// Starts the actors of every slot that needs some.
    fn staff(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        let slots = self.station.table.unserved();
        if slots.is_empty() || std::mem::replace(&mut state.staffing, true) {
            return Ok(());
        }
        let runs = self.runs.clone();
        ctx.task(async move {
            for slot in slots {
                match runs.start_child(slot).await {
                    // They are there, and are just being restarted.
                    Ok(_) | Err(StartChildError::Exists { .. }) => {}
                    Err(error) => tracing::warn!(slot, %error, "cannot serve a slot: trying again"),
                }
            }
            Msg::Staffed
        })?;
        Ok(())
    }

    fn clear_away(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        if state.removing {
            return Ok(());
        }
        let trash = self.station.table.trash();
        if trash.is_empty() {
            return Ok(());
        }
        state.removing = true;
        let station = Arc::clone(&self.station);
        ctx.task(async move {
            if let Err(panic) = spawn_blocking(move || clear_away(&station, &trash)).await {
                tracing::error!(%panic, "cannot clear away what runs left");
            }
            Msg::Removed
        })?;
        Ok(())
    }
}

/// Removes what runs left on disk. It may be done twice at the same time, when an actor dies in between.
pub(crate) fn clear_away(station: &Station, trash: &[(Arc<Run>, bool)]) {
    for (run, made_files) in trash {
        let (job, attempt) = (run.held.job.to_string(), run.held.attempt);
        if *made_files {
            let remove = || station.work.remove(&job, attempt);
            match run.site.run(run.site.errand(), remove) {
                Some(Ok(())) => {}
                // The next process tries it again.
                Some(Err(error)) => {
                    tracing::warn!(job.id = %job, attempt, %error, "cannot remove a work directory");
                }
                // Somebody else has begun to.
                None => continue,
            }
        }
        run.spool.discard();
        station.footprints.wipe(run);
        station.table.cleared(run);
    }
}
