//! The oracle: OTP's `supervisor.erl`, translated as straight as Rust allows.
//!
//! The one idea: where the policy plans steps and waits for confirmations, this does everything at once by plain calls,
//! as the original does. It shares no code with the policy and none with the shell; function names are those of the
//! original. Children of a `simple_one_for_one` supervisor are named by `key`, as there by pid, all others by id.
//!
//! Two things are ours. A `try_again` carries the incarnation that it is for, where OTP's names only the child and can
//! be taken for the next one of the same child; and a child may have a backoff, marked where it is.

use std::time::Duration;

use super::{AutoShutdown, Backoff, Exit, Intensity, Restart, Strategy};

/// What a supervisor can do to the world.
pub(crate) trait Processes {
    /// The time since the beginning.
    fn now(&self) -> Duration;
    /// Starts a life and says whether that worked.
    fn start(&mut self, key: u64, incarnation: u64) -> bool;
    /// Ends lives, all at the same time.
    fn shutdown(&mut self, keys: &[u64]);
    /// Sends `try_again` to the supervisor itself.
    fn try_again(&mut self, key: u64, incarnation: u64, after: Duration);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pid {
    Undefined,
    Alive,
    Restarting,
    /// Ours: its restart is counted and waits.
    Delayed,
}

#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) key: u64,
    pub(crate) id: String,
    pub(crate) restart: Restart,
    pub(crate) significant: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) pid: Pid,
    pub(crate) incarnation: u64,
    /// Ours: failures in a row, and the beginning of this life.
    pub(crate) failures: u32,
    pub(crate) up_since: Option<Duration>,
}

/// What a supervisor answers when it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    Running,
    Restarting,
    AlreadyThere,
    NotStarted,
}

/// Why a supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    FailedInit,
    AutoShutdown,
    Intensity,
    Asked,
}

pub(crate) struct Supervisor {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) simple: bool,
    /// In start order.
    pub(crate) children: Vec<Child>,
    pub(crate) restarts: Vec<Duration>,
    pub(crate) end: Option<End>,
}

impl Supervisor {
    pub(crate) fn init(&mut self, world: &mut impl Processes) {
        let keys = self.keys();
        if self.start_children(&keys, world).is_err() {
            self.stop(End::FailedInit, world);
        }
    }

    pub(crate) fn start_child(&mut self, child: Child, world: &mut impl Processes) -> Result<(), Refusal> {
        if !self.simple && self.children.iter().any(|other| other.id == child.id) {
            return Err(Refusal::AlreadyThere);
        }
        let key = child.key;
        self.children.push(child);
        let started = self.do_start_child(key, world);
        if started.is_err() {
            self.children.retain(|child| child.key != key);
        }
        started.map_err(|_key| Refusal::NotStarted)
    }

    pub(crate) fn terminate_child(&mut self, id: &str, world: &mut impl Processes) -> Result<(), Refusal> {
        let key = self.find_child(id)?.key;
        self.do_terminate(key, world);
        self.del_child(key);
        Ok(())
    }

    /// By pid: for `simple_one_for_one` only.
    pub(crate) fn terminate_dynamic(&mut self, key: u64, world: &mut impl Processes) {
        self.do_terminate(key, world);
        self.del_child(key);
    }

    pub(crate) fn restart_child(&mut self, id: &str, world: &mut impl Processes) -> Result<(), Refusal> {
        let key = self.undefined_child(id)?;
        self.do_start_child(key, world)
            .map_err(|_key| Refusal::NotStarted)
    }

    pub(crate) fn delete_child(&mut self, id: &str) -> Result<(), Refusal> {
        let key = self.undefined_child(id)?;
        self.children.retain(|child| child.key != key);
        Ok(())
    }

    /// The `EXIT` of a linked process; OTP knows by its pid whether it is a child.
    pub(crate) fn handle_exit(
        &mut self,
        key: u64,
        incarnation: u64,
        exit: &Exit,
        world: &mut impl Processes,
    ) {
        let found = self.children.iter().find(|child| child.key == key);
        let Some(child) = found.cloned() else { return };
        if child.pid != Pid::Alive || child.incarnation != incarnation {
            return;
        }
        match (child.restart, exit) {
            (Restart::Permanent, _) => self.restart(key, world),
            (_, Exit::Normal | Exit::Shutdown | Exit::GaveUp(_)) => self.ended_for_good(&child, world),
            (Restart::Transient, _) => self.restart(key, world),
            (Restart::Temporary, _) => self.ended_for_good(&child, world),
        }
    }

    pub(crate) fn try_again_restart(&mut self, key: u64, incarnation: u64, world: &mut impl Processes) {
        let found = self.children.iter().find(|child| child.key == key);
        match found.filter(|child| child.incarnation == incarnation) {
            Some(child) if child.pid == Pid::Restarting => self.restart(key, world),
            Some(child) if child.pid == Pid::Delayed => self.restart_by_strategy(key, world),
            _ => {}
        }
    }

    pub(crate) fn stop(&mut self, end: End, world: &mut impl Processes) {
        if self.simple {
            let alive = self.children.iter().rev().filter(|child| child.pid == Pid::Alive);
            let alive: Vec<u64> = alive.map(|child| child.key).collect();
            if !alive.is_empty() {
                world.shutdown(&alive);
            }
            self.children.clear();
        } else {
            let keys = self.keys();
            self.terminate_children(&keys, world);
        }
        self.end = Some(end);
    }

    /// `do_restart` without a restart: `del_child`, then `do_auto_shutdown`.
    fn ended_for_good(&mut self, child: &Child, world: &mut impl Processes) {
        self.del_child(child.key);
        let due = match self.auto_shutdown {
            AutoShutdown::Never => false,
            _ if !child.significant => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => self
                .children
                .iter()
                .all(|other| other.pid == Pid::Undefined || !other.significant),
        };
        if due {
            self.stop(End::AutoShutdown, world);
        }
    }

    fn restart(&mut self, key: u64, world: &mut impl Processes) {
        if !self.add_restart(world.now()) {
            self.del_child(key);
            return self.stop(End::Intensity, world);
        }
        // Ours, from here to the `else`: the sweep ends those whom the restart takes along, and the starts wait.
        if let Some(after) = self.delay(key, world.now()) {
            let mut others = self.swept(key);
            others.retain(|other| *other != key);
            self.terminate_children(&others, world);
            self.child(key).pid = Pid::Delayed;
            world.try_again(key, self.child(key).incarnation, after);
        } else {
            self.restart_by_strategy(key, world);
        }
    }

    fn restart_by_strategy(&mut self, key: u64, world: &mut impl Processes) {
        let restarted = match self.strategy {
            Strategy::OneForOne => self.do_start_child(key, world),
            Strategy::RestForOne | Strategy::OneForAll => {
                self.child(key).pid = Pid::Undefined;
                let swept = self.swept(key);
                self.terminate_children(&swept, world);
                let left: Vec<u64> = self
                    .keys()
                    .into_iter()
                    .filter(|key| swept.contains(key))
                    .collect();
                self.start_children(&left, world)
            }
        };
        if let Err(failed) = restarted {
            self.child(failed).pid = Pid::Restarting;
            world.try_again(failed, self.child(failed).incarnation, Duration::ZERO);
        }
    }

    /// What `split_child` and `del_child` pass to `restart_multiple_children`.
    fn swept(&self, key: u64) -> Vec<u64> {
        let keys = self.keys();
        match self.strategy {
            Strategy::OneForOne => vec![key],
            Strategy::OneForAll => keys,
            Strategy::RestForOne => keys.into_iter().skip_while(|other| *other != key).collect(),
        }
    }

    fn start_children(&mut self, keys: &[u64], world: &mut impl Processes) -> Result<(), u64> {
        keys.iter().try_for_each(|key| self.do_start_child(*key, world))
    }

    /// On failure returns the child that failed.
    fn do_start_child(&mut self, key: u64, world: &mut impl Processes) -> Result<(), u64> {
        self.child(key).incarnation += 1;
        if !world.start(key, self.child(key).incarnation) {
            return Err(key);
        }
        self.child(key).pid = Pid::Alive;
        self.child(key).up_since = Some(world.now());
        Ok(())
    }

    fn terminate_children(&mut self, keys: &[u64], world: &mut impl Processes) {
        for key in keys.iter().rev() {
            self.do_terminate(*key, world);
            self.del_child(*key);
        }
    }

    fn do_terminate(&mut self, key: u64, world: &mut impl Processes) {
        if self.child(key).pid == Pid::Alive {
            world.shutdown(&[key]);
        }
    }

    fn del_child(&mut self, key: u64) {
        if self.simple || self.child(key).restart == Restart::Temporary {
            self.children.retain(|child| child.key != key);
        } else {
            self.child(key).pid = Pid::Undefined;
        }
    }

    fn add_restart(&mut self, now: Duration) -> bool {
        let period = self.intensity.within;
        self.restarts.retain(|at| now <= *at + period);
        self.restarts.insert(0, now);
        self.restarts.len() <= self.intensity.max as usize
    }

    /// Ours: base, twice that, four times, but not more than the maximum.
    fn delay(&mut self, key: u64, now: Duration) -> Option<Duration> {
        let child = self.child(key);
        let backoff = child.backoff?;
        let up_for = child.up_since.take().map(|since| now - since);
        if up_for.is_some_and(|up_for| up_for >= backoff.reset_after) {
            child.failures = 0;
        }
        child.failures += 1;
        Some((backoff.base * 2u32.pow(child.failures - 1)).min(backoff.max))
    }

    fn find_child(&self, id: &str) -> Result<&Child, Refusal> {
        let child = self.children.iter().find(|child| child.id == id);
        child.ok_or(Refusal::NotFound)
    }

    fn undefined_child(&self, id: &str) -> Result<u64, Refusal> {
        let child = self.find_child(id)?;
        match child.pid {
            Pid::Undefined => Ok(child.key),
            Pid::Alive => Err(Refusal::Running),
            Pid::Restarting | Pid::Delayed => Err(Refusal::Restarting),
        }
    }

    fn keys(&self) -> Vec<u64> {
        self.children.iter().map(|child| child.key).collect()
    }

    fn child(&mut self, key: u64) -> &mut Child {
        self.children
            .iter_mut()
            .find(|child| child.key == key)
            .expect("the caller just saw it")
    }

    /// Ids in start order, each with its life.
    pub(crate) fn which_children(&self) -> Vec<(String, Pid)> {
        let children = self.children.iter();
        children.map(|child| (child.id.clone(), child.pid)).collect()
    }
}
