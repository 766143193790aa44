//! What is done to both, and how they are compared.
//!
//! Nothing happens between two lines, and every line begins at a whole second, so what follows from it is known.

use std::array::IntoIter;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use proptest::sample::Index;
use supervision::{ActorState, ChildCounts, ChildError, ChildRef, ChildStatus, StartChildError, Tree};
use tokio::time::{Instant, sleep, sleep_until};

use super::model::{End, Pid, Refusal};
use super::plan::{Body, Cast, NAMES, Plan};
use super::sim::{Node, Shared};
use super::{Exit, How, Line, fail_starts, pick};
use crate::probe::{Msg, SECOND};

pub(super) struct Play {
    pub(super) tree: Tree,
    pub(super) cast: Cast,
    pub(super) sim: Node,
    pub(super) stage: Shared,
    pub(super) began: Instant,
    pub(super) slow: bool,
    pub(super) parents: HashMap<&'static str, String>,
    pub(super) refs: HashMap<&'static str, ChildRef>,
    pub(super) names: IntoIter<&'static str, { NAMES.len() }>,
}

/// A supervisor that is up, as the oracle has it.
#[derive(Clone)]
struct Place {
    way: Vec<u64>,
    path: String,
    dynamic: bool,
    /// Its children by id and state, and those of them that work by key.
    children: Vec<(String, Pid)>,
    counts: ChildCounts,
    workers: Vec<(u64, &'static str)>,
    lives: Vec<(String, u64)>,
}

impl Place {
    fn of(way: &[u64], node: &Node) -> Self {
        let (model, bodies) = (&node.model, &node.bodies);
        let works = |key: &u64| matches!(bodies.plans[key].body, Body::Worker);
        let n_workers = model.children.iter().filter(|child| works(&child.key)).count();
        let alive = model.children.iter().filter(|child| child.pid == Pid::Alive);
        Self {
            way: way.to_vec(),
            path: bodies.path.clone(),
            dynamic: model.simple,
            children: model.which_children(),
            counts: ChildCounts {
                specs: if model.simple { 1 } else { model.children.len() },
                active: alive.clone().count(),
                supervisors: model.children.len() - n_workers,
                workers: n_workers,
            },
            workers: bodies
                .alive
                .keys()
                .filter(|key| works(key))
                .map(|key| (*key, bodies.plans[key].id))
                .collect(),
            lives: alive
                .map(|child| (format!("{}/{}", bodies.path, child.id), child.incarnation))
                .collect(),
        }
    }
}

impl Play {
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        self.sim.visit(&mut Vec::new(), &mut |way, node| {
            places.push(Place::of(way, node));
        });
        places
    }

    pub(super) async fn line(&mut self, line: Line) {
        match line {
            Line::Worker(who, how) => self.on_worker(who, how),
            Line::KillSupervisor(who) => self.on_kill(who),
            Line::FailStarts(who, n) => fail_starts(&self.cast, &self.stage, who, n),
            Line::Wait(seconds) => sleep(Duration::from_secs(seconds)).await,
            Line::Start(at, plan) => self.on_start(at, plan).await,
            Line::Terminate(at, who) => self.on_terminate(at, who).await,
            Line::Restart(at, who) => {
                let Some((place, id)) = self.child(at, who) else {
                    return;
                };
                let answer = self.tree.restart_child(&place.path, &id).await;
                let expected = self
                    .sim
                    .act(&place.way, |node| node.model.restart_child(&id, &mut node.bodies));
                check_answer(answer, expected, &id);
            }
            Line::Delete(at, who) => {
                let Some((place, id)) = self.child(at, who) else {
                    return;
                };
                let answer = self.tree.delete_child(&place.path, &id).await;
                check_answer(
                    answer,
                    self.sim.act(&place.way, |node| node.model.delete_child(&id)),
                    &id,
                );
            }
        }
    }

    /// Returns a child of a fixed supervisor that is up; the child may be down, or not there at all.
    fn child(&self, at: Index, who: Index) -> Option<(Place, String)> {
        let mut places = self.places();
        places.retain(|place| !place.dynamic);
        let place = pick(&places, at)?;
        let mut ids: Vec<_> = place.children.iter().map(|(id, _)| id.clone()).collect();
        ids.push("nobody".to_owned());
        let id = pick(&ids, who)?;
        Some((place, id))
    }

    fn on_worker(&mut self, who: Index, how: How) {
        let places = self.places();
        let workers = places
            .iter()
            .flat_map(|place| place.workers.iter().map(move |worker| (place, worker)));
        let workers: Vec<_> = workers.collect();
        let Some((place, (key, id))) = pick(&workers, who) else {
            return;
        };
        let worker = &self.cast.workers[id];
        match how {
            How::Fail => worker.tell(Msg::Fail),
            How::Panic => worker.tell(Msg::Panic),
            How::Leave => worker.tell(Msg::Leave),
            How::Kill => self.kill(&format!("{}/{id}", place.path)),
        };
        self.sim.act(&place.way, |node| match how {
            How::Fail | How::Panic => node.on_exit(*key, &Exit::Crashed(String::new())),
            How::Leave => node.on_leave(*key),
            How::Kill => node.on_exit(*key, &Exit::Killed),
        });
    }

    fn on_kill(&mut self, who: Index) {
        let places = self.places();
        // The root is nobody's child.
        let Some(place) = pick(&places[1..], who) else {
            return;
        };
        self.kill(&place.path);
        let (key, above) = place.way.split_last().expect("it is not the root");
        self.sim.act(above, |node| node.on_exit(*key, &Exit::Killed));
    }

    fn kill(&self, path: &str) {
        assert!(self.tree.directory().kill(path));
    }

    async fn on_start(&mut self, at: Index, mut plan: Plan) {
        let Some(place) = pick(&self.places(), at) else {
            return;
        };
        let auto = self.sim.act(&place.way, |node| node.model.auto_shutdown);
        plan.settle(auto, self.slow, &mut self.names);
        let (id, spec) = (plan.id, self.cast.child_spec(&plan));
        self.parents.insert(id, place.path.clone());
        let answer = if place.dynamic {
            let supervisor = place.path.rsplit('/').next().expect("a path has a last part");
            match self.cast.dynamics[supervisor].start_child(spec).await {
                Ok(child) => {
                    self.refs.insert(id, child);
                    Ok(())
                }
                Err(StartChildError::Failed { why }) => Err(ChildError::Failed { why }),
                Err(error) => panic!("{error}"),
            }
        } else {
            self.tree.start_child(&place.path, spec).await
        };
        let expected = self.sim.act(&place.way, |node| node.start_child(plan));
        check_answer(answer, expected, id);
    }

    async fn on_terminate(&mut self, at: Index, who: Index) {
        let places = self.places();
        let Some(place) = pick(&places, at) else { return };
        if place.dynamic {
            let Some((key, id)) = pick(&place.workers, who) else {
                return;
            };
            let supervisor = place.path.rsplit('/').next().expect("a path has a last part");
            let answer = self.cast.dynamics[supervisor]
                .terminate_child(&self.refs[id])
                .await;
            assert_eq!(answer, Ok(true));
            return self.sim.act(&place.way, |node| {
                node.model.terminate_dynamic(key, &mut node.bodies);
            });
        }
        let mut ids: Vec<_> = place.children.iter().map(|(id, _)| id.clone()).collect();
        ids.push("nobody".to_owned());
        let id = pick(&ids, who).expect("there is at least one");
        let answer = self.tree.terminate_child(&place.path, &id).await;
        let expected = self.sim.act(&place.way, |node| {
            node.model.terminate_child(&id, &mut node.bodies)
        });
        check_answer(answer, expected, &id);
    }

    /// Waits until nobody stops or starts any more, and then for the next whole second.
    pub(super) async fn settle(&mut self) {
        loop {
            sleep(SECOND / 10).await;
            let all = self.tree.directory().list();
            if all.iter().all(|actor| actor.state == ActorState::Running) {
                break;
            }
        }
        let seconds = self.began.elapsed().as_secs() + 1;
        sleep_until(self.began + Duration::from_secs(seconds)).await;
        let now = self.began.elapsed();
        self.sim.advance(now);
        assert_eq!(self.stage.borrow().now, now, "it took longer than it may");
    }

    pub(super) async fn compare(&mut self) {
        self.compare_logs();
        if let Some(end) = self.sim.model.end {
            let exit = self.tree.exited().await;
            let as_it_should = match end {
                End::Intensity => matches!(exit, Exit::GaveUp(_)),
                _ => exit == Exit::Shutdown,
            };
            assert!(as_it_should, "{exit} {end:?}");
            return;
        }
        let places = self.places();
        for place in &places {
            let children = self.tree.which_children(&place.path).await.unwrap();
            let shown: Vec<_> = children
                .into_iter()
                .map(|child| (child.id, child.status))
                .collect();
            let expected = place.children.iter().map(|(id, pid)| (id.clone(), status(*pid)));
            assert_eq!(shown, expected.collect::<Vec<_>>(), "I11: {}", place.path);
            assert_eq!(
                self.tree.count_children(&place.path).await,
                Ok(place.counts),
                "I11: {}",
                place.path
            );
        }
        let list = self.tree.directory().list();
        let lives: Vec<_> = list
            .iter()
            .map(|actor| (actor.path.to_string(), actor.incarnation))
            .collect();
        let mut expected: Vec<_> = places.into_iter().flat_map(|place| place.lives).collect();
        expected.push(("root".to_owned(), lives[0].1));
        expected.sort();
        assert_eq!(lives, expected, "I6");
    }

    /// What each supervisor has done to its workers, in order; a dynamic one has no order.
    fn compare_logs(&mut self) {
        let mut done: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let log = self.cast.log.take();
        for entry in log.split(' ').filter(|entry| !entry.is_empty()) {
            done.entry(self.parents[&entry[1..]].clone())
                .or_default()
                .push(entry.to_owned());
        }
        let mut expected = std::mem::take(&mut self.stage.borrow_mut().log);
        for (path, entries) in done.iter_mut().chain(&mut expected) {
            let id = path.rsplit('/').next().expect("a path has a last part");
            if self.cast.dynamics.contains_key(id) {
                entries.sort();
            }
        }
        assert_eq!(done, expected);
    }

    /// Stops the tree. I8: nothing is left. I9: it takes as long as its children need, or may.
    pub(super) async fn end(mut self) {
        let directory = self.tree.directory();
        if self.sim.model.end.is_none() {
            let (before, Node { model, bodies }) = (Instant::now(), &mut self.sim);
            assert_eq!(self.tree.stop(3600 * SECOND).await, []);
            let stage = Rc::clone(&self.stage);
            let begin = stage.borrow().now;
            model.stop(End::Asked, bodies);
            assert_eq!(before.elapsed(), stage.borrow().now - begin, "I9");
            self.compare_logs();
        }
        assert!(directory.list().is_empty(), "I8");
    }
}

fn status(pid: Pid) -> ChildStatus {
    match pid {
        Pid::Alive => ChildStatus::Running,
        Pid::Restarting | Pid::Delayed => ChildStatus::Restarting,
        Pid::Undefined => ChildStatus::Down,
    }
}

fn check_answer(answer: Result<(), ChildError>, expected: Result<(), Refusal>, id: &str) {
    let id = id.to_owned();
    let expected = expected.map_err(|refusal| match refusal {
        Refusal::NotFound => ChildError::NotFound { id },
        Refusal::Running => ChildError::Running { id },
        Refusal::Restarting => ChildError::Restarting { id },
        Refusal::AlreadyThere => ChildError::Exists { id },
        // A supervisor adds which of its children it was.
        Refusal::NotStarted => ChildError::Failed { why: String::new() },
    });
    let answer = answer.map_err(|error| match error {
        ChildError::Failed { .. } => ChildError::Failed { why: String::new() },
        error => error,
    });
    assert_eq!(answer, expected);
}
