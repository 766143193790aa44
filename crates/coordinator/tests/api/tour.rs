//! One conversation with a coordinator whose clock stands still: what is said in it are the examples of docs/api.md.
//!
//! Requests are made of the protocol's types, and replies must say exactly what those types read in them, so an example
//! is never something that a program would stumble over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use domain::job::{GiveBack, RunEnd};
use domain::{Digest, JobId, JobSpec, Resources};
use nexus::{Clock, MemoryNexus};
use protocol::Problem;
use protocol::agents::{AgentInfo, AgentList, Enrolled};
use protocol::jobs::{
    ArtifactList, BatchSubmitted, CancelRequest, EventList, JobList, JobView, Submitted, WhyView,
};
use protocol::leases::{
    ClaimReply, ClaimRequest, Finish, FinishReply, FinishRequest, LEASE_HEADER, Lease, LogReceived,
    ReleaseRequest, RenewReply, RenewRequest,
};
use protocol::limits::Limits;
use protocol::observer::Reading;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::agent::{artifact, finish, framed, held, proof};
use crate::wire::{Ask, Reply};
use crate::world::{JOIN, World, eventually, spec};

/// The moment at which all of it happens, and at which the scripted agent reads its logs: 2026-09-21T14:13:20Z.
const NOW: u64 = 1_790_000_000_000;

/// Headers of requests and replies that the examples show; the others are the same everywhere or change each time.
const SHOWN: [&str; 5] = [
    "idempotency-key",
    "idempotent-replayed",
    "location",
    "retry-after",
    "www-authenticate",
];

pub(crate) struct Tour {
    world: World,
    examples: BTreeMap<&'static str, String>,
}

/// All examples by their names.
pub(crate) async fn examples() -> BTreeMap<&'static str, String> {
    let nexus = Arc::new(MemoryNexus::new(Clock::from_fn(|| NOW)));
    let world = World::over(nexus).await;
    // Replies name the era once the nexus was looked at.
    eventually("it is ready", || async {
        (world.ask("GET", "/readyz").send().await.status == 200).then_some(())
    })
    .await;
    let mut tour = Tour {
        world,
        examples: BTreeMap::new(),
    };
    let agent = tour.enrol().await;
    let id = tour.submits().await;
    tour.looks_while_queued(&id).await;
    let lease = tour.claims(&agent, &id).await;
    tour.ships_and_finishes(&agent, &lease).await;
    tour.looks_when_ended(&id).await;
    tour.looks_at_an_actor().await;
    tour.examples
}

impl Tour {
    /// Sends a request, keeps the exchange as an example, and returns what the reply says.
    async fn tell<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &'static str,
        body: &str,
        ask: (&str, &str, &[(&'static str, &str)]),
    ) -> T {
        let (method, path, headers) = ask;
        let add = |ask: Ask, (name, value): &(&'static str, &str)| ask.header(name, *value);
        let ask = headers.iter().fold(self.world.say(method, path), add);
        let reply = ask.body(body.to_owned()).send().await;
        let said: T = reply.json();
        assert_eq!(reply.value(), json!(said), "{name} says more than its type");
        let mut text = format!("{method} {path}\n");
        for (name, value) in headers {
            writeln!(text, "{name}: {value}").unwrap();
        }
        if !body.is_empty() {
            write!(text, "\n{body}\n").unwrap();
        }
        let shown = serde_json::to_string_pretty(&said).unwrap();
        let text = format!("```http\n{text}```\n\n```http\n{}\n{shown}\n```\n", head(&reply));
        self.examples.insert(name, text);
        said
    }

    async fn post<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &'static str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> T {
        let body = serde_json::to_string_pretty(body).unwrap();
        self.tell(name, &body, ("POST", path, &[])).await
    }

    async fn get<T: Serialize + DeserializeOwned>(&mut self, name: &'static str, path: &str) -> T {
        self.tell(name, "", ("GET", path, &[])).await
    }

    async fn enrol(&mut self) -> AgentInfo {
        let agent = AgentInfo {
            id: "01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap(),
            name: "forge-1".parse().unwrap(),
            fingerprint: Digest::of(b"forge-1"),
            labels: [("os".to_owned(), "linux".to_owned())].into(),
            capacity: Resources {
                cpu_millis: 8_000,
                memory_bytes: 32 << 30,
            },
            slots: 8,
            executor: "process".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let _enrolled: Enrolled = self.post("enrol", "/v1/agents", &agent).await;
        agent
    }

    /// Returns the job that the rest of the tour is about.
    async fn submits(&mut self) -> JobId {
        let body = serde_json::to_string_pretty(&json!({
            "command": ["make", "test"],
            "requires": ["os = linux"],
            "limits": {"cpus": 2, "memory": "4GiB"},
            "artifacts": ["report/*.xml"],
        }));
        let key = [("idempotency-key", "build-17")];
        let made: Submitted = self
            .tell("submit", &body.unwrap(), ("POST", "/v1/jobs", &key))
            .await;
        let toml = "command = [\"sleep\", \"60\"]\nrequires = [\"gpu >= 1\"]\n";
        let headers = [
            ("content-type", "application/toml"),
            ("idempotency-key", "sleep-1"),
        ];
        let second: Submitted = self
            .tell("submit-toml", toml, ("POST", "/v1/jobs", &headers))
            .await;
        let wrong = "{\n  \"command\": [\"true\"],\n  \"priority\": 101\n}";
        drop(
            self.tell::<Problem>("refused", wrong, ("POST", "/v1/jobs", &[]))
                .await,
        );
        let batch = "{\"jobs\": [\n  {\"command\": [\"one\"], \"not_before\": \"2030-01-01T00:00:00Z\"},\n  {\"command\": []}\n]}";
        let key = [("idempotency-key", "both-1")];
        drop(
            self.tell::<BatchSubmitted>("batch", batch, ("POST", "/v1/jobs/batch", &key))
                .await,
        );
        let reason = CancelRequest {
            reason: Some("not needed any more".to_owned()),
        };
        drop(
            self.post::<JobView>("cancel", &format!("/v1/jobs/{}/cancel", second.id), &reason)
                .await,
        );
        made.id
    }

    async fn looks_while_queued(&mut self, id: &JobId) {
        drop(self.get::<WhyView>("why", &format!("/v1/jobs/{id}/why")).await);
        drop(self.get::<JobList>("list", "/v1/jobs?state=queued&limit=1").await);
        let _: Limits = self.get("limits", "/v1/limits").await;
    }

    async fn claims(&mut self, agent: &AgentInfo, id: &JobId) -> Lease {
        let wish = |held| ClaimRequest {
            agent: agent.id.clone(),
            slots: 1,
            ahead: None,
            free: agent.capacity,
            held,
            wait_ms: 7_500,
            enrol: None,
        };
        let reply: ClaimReply = self.post("claim", "/v1/claims", &wish(Vec::new())).await;
        let lease = reply.leases.into_iter().next().unwrap();
        assert_eq!(lease.job, *id);
        // Another job, only to give it back.
        let other = self.world.submit_spec(&JobSpec::command(["true"])).await;
        let mut wish = wish(vec![held(&lease)]);
        wish.wait_ms = 5_000;
        let more = self
            .world
            .say("POST", "/v1/claims")
            .body(json!(wish).to_string())
            .send()
            .await;
        let unstarted = more.json::<ClaimReply>().leases.into_iter().next().unwrap();
        assert_eq!(unstarted.job, other);
        self.releases(&unstarted).await;
        lease
    }

    /// The job's id and token differ each time, so they are not what is shown.
    async fn releases(&mut self, lease: &Lease) {
        let request = ReleaseRequest {
            leases: vec![proof(lease)],
            why: GiveBack::Drain,
        };
        drop(
            self.post::<Value>("release", "/v1/leases/release", &request)
                .await,
        );
        let stand_in: JobId = "default-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
        if let Some(text) = self.examples.get_mut("release") {
            let token = format!("hfl_1_{}", "5".repeat(64));
            *text = text
                .replace(&lease.job.to_string(), &stand_in.to_string())
                .replace(lease.token.expose(), &token);
        }
        self.world
            .say("POST", &format!("/v1/jobs/{}/cancel", lease.job))
            .send()
            .await;
    }

    async fn ships_and_finishes(&mut self, agent: &AgentInfo, lease: &Lease) {
        drop(self.get::<AgentList>("agents", "/v1/agents").await);
        let request = RenewRequest {
            agent: agent.id.clone(),
            leases: vec![proof(lease).into()],
        };
        drop(
            self.post::<RenewReply>("renew", "/v1/leases/renew", &request)
                .await,
        );
        let log = framed(b"3 tests passed\n");
        let path = |offset: usize| format!("/v1/leases/log?job={}&offset={offset}", lease.job);
        let chunk = |offset, bytes: Bytes| {
            let ask = self.world.ask("POST", &path(offset)).token(JOIN);
            ask.header(LEASE_HEADER, lease.token.expose()).body(bytes).send()
        };
        let received: LogReceived = chunk(0, log.clone()).await.json();
        assert_eq!(received.stored, log.len() as u64);
        let shown = |name, reply: &Reply, offset| {
            let body = serde_json::to_string_pretty(&reply.value()).unwrap();
            let request = format!(
                "POST {}\ncontent-type: application/octet-stream\n{LEASE_HEADER}: {}\n\n(bytes)\n",
                path(offset),
                lease.token.expose()
            );
            (
                name,
                format!("```http\n{request}```\n\n```http\n{}\n{body}\n```\n", head(reply)),
            )
        };
        let repeated = chunk(0, log.clone()).await;
        let refused: Problem = repeated.json();
        let there: LogReceived = serde_json::from_str(&refused.detail).unwrap();
        assert_eq!((refused.code.as_str(), there), ("log_offset", received));
        let example = shown("log-offset", &repeated, 0);
        self.examples.extend([example]);

        let report = b"<testsuite/>";
        self.world
            .vault
            .put_bytes(Bytes::from_static(report), None)
            .await
            .unwrap();
        let mut over = finish(lease, RunEnd::Succeeded, log);
        over.log = None;
        let over = Finish {
            artifacts: vec![artifact("report/unit.xml", report)],
            ..over
        };
        let request = FinishRequest {
            finishes: vec![over],
            claim: None,
        };
        drop(
            self.post::<FinishReply>("finish", "/v1/leases/finish", &request)
                .await,
        );
    }

    async fn looks_when_ended(&mut self, id: &JobId) {
        drop(self.get::<JobView>("show", &format!("/v1/jobs/{id}")).await);
        drop(
            self.get::<EventList>("events", &format!("/v1/jobs/{id}/events"))
                .await,
        );
        drop(
            self.get::<ArtifactList>("artifacts", &format!("/v1/jobs/{id}/attempts/1/artifacts"))
                .await,
        );
        let path = format!("/v1/jobs/{id}/attempts/1/log");
        let events = self
            .world
            .say("GET", &path)
            .header("accept", "text/event-stream")
            .send()
            .await;
        let (request, said) = (format!("GET {path}\naccept: text/event-stream\n"), events.text());
        let kind = events.header("content-type");
        let text = format!(
            "```http\n{request}```\n\n```http\n200 OK\ncontent-type: {kind}\n\n{}\n```\n",
            said.trim_end()
        );
        self.examples.insert("follow", text);
        assert_eq!(
            self.world.job(id).await.spec.map(|spec| spec.argv()),
            Some(spec(r#"{"command": ["make", "test"]}"#).argv())
        );
    }

    /// Times, counts and how often an actor was told something differ each time, so they are not what is shown.
    async fn looks_at_an_actor(&mut self) {
        let path = "/v1/observer/tree?under=coordinator/intake";
        let reply = self.world.say("GET", path).send().await;
        let mut reading: Reading = reply.json();
        assert_eq!(reply.value(), json!(reading), "observer says more than its type");
        let tree = &mut reading.trees[0];
        tree.events.truncate(1);
        tree.events[0].age_ms = 90_000;
        for actor in &mut tree.actors {
            actor.age_ms = 90_000;
            actor.busy_ms = Some(3);
            let mailbox = &mut actor.mailbox;
            (mailbox.depth, mailbox.sent, mailbox.handled) = (2, 9, 7);
            (mailbox.p50_us, mailbox.p99_us) = (Some(64), Some(2_048));
        }
        let shown = serde_json::to_string_pretty(&reading).unwrap();
        let text = format!(
            "```http\nGET {path}\n```\n\n```http\n{}\n{shown}\n```\n",
            head(&reply)
        );
        self.examples.insert("observer", text);
    }
}

fn head(reply: &Reply) -> String {
    let mut head = format!("{}\n", reply.status);
    for name in SHOWN {
        if !reply.header(name).is_empty() {
            writeln!(head, "{name}: {}", reply.header(name)).unwrap();
        }
    }
    if reply.header("content-type").starts_with("application/problem") {
        writeln!(head, "content-type: application/problem+json").unwrap();
    }
    head
}
