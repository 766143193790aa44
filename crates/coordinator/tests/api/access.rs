//! Who is let in where.

use protocol::client::Client;

use crate::wire::Reply;
use crate::world::{ADMIN, JOIN, World};

const JOB: &str = "default-01k2b3c4d5e6f7g8h9j0kmnpqr";
const BLOB: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every route that people use, and nobody else.
const PEOPLES: [(&str, &str); 18] = [
    ("GET", "/v1/jobs"),
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/batch"),
    ("GET", "/v1/jobs/{job}"),
    ("POST", "/v1/jobs/{job}/cancel"),
    ("POST", "/v1/jobs/{job}/rerun"),
    ("GET", "/v1/jobs/{job}/why"),
    ("GET", "/v1/jobs/{job}/events"),
    ("GET", "/v1/jobs/{job}/attempts/1/log"),
    ("GET", "/v1/jobs/{job}/attempts/1/artifacts"),
    ("GET", "/v1/jobs/{job}/attempts/1/artifacts/out/a"),
    ("GET", "/v1/agents"),
    ("GET", "/v1/agents/forge"),
    ("POST", "/v1/agents/forge/drain"),
    ("POST", "/v1/agents/forge/resume"),
    ("GET", "/v1/leases/refusals"),
    ("GET", "/v1/quarantine"),
    ("GET", "/v1/observer/tree"),
];
/// Every route that agents use too.
const AGENTS: [(&str, &str); 10] = [
    ("POST", "/v1/agents"),
    ("POST", "/v1/claims"),
    ("POST", "/v1/leases/renew"),
    ("POST", "/v1/leases/log"),
    ("POST", "/v1/leases/finish"),
    ("POST", "/v1/leases/release"),
    ("PUT", "/v1/blobs/{blob}"),
    ("HEAD", "/v1/blobs/{blob}"),
    ("GET", "/v1/blobs/{blob}"),
    ("GET", "/v1/limits"),
];

async fn send(world: &World, route: (&str, &str), token: Option<&str>) -> Reply {
    let path = route.1.replace("{job}", JOB).replace("{blob}", BLOB);
    let ask = world.ask(route.0, &path);
    match token {
        Some(token) => ask.token(token).send().await,
        None => ask.send().await,
    }
}

fn is_problem(reply: &Reply, method: &str, code: &str) -> bool {
    // A HEAD has no body to look into.
    method == "HEAD" || reply.problem().code == code
}

#[tokio::test]
async fn without_a_good_token_every_route_asks_for_one_before_it_looks_at_anything_else() {
    let world = World::start().await;
    for route in PEOPLES.into_iter().chain(AGENTS) {
        for token in [None, Some("nobody-knows-it"), Some("")] {
            let reply = send(&world, route, token).await;
            assert_eq!(reply.status, 401, "{route:?} with {token:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"hiveforge\"");
            assert!(is_problem(&reply, route.0, "unauthenticated"));
        }
    }
}

#[tokio::test]
async fn the_join_token_opens_what_agents_need_and_nothing_of_peoples() {
    let world = World::start().await;
    for route in PEOPLES {
        let reply = send(&world, route, Some(JOIN)).await;
        assert_eq!(reply.status, 403, "{route:?}");
        assert!(is_problem(&reply, route.0, "forbidden"));
    }
    for route in AGENTS {
        for token in [JOIN, ADMIN] {
            let status = send(&world, route, Some(token)).await.status;
            assert!(status != 401 && status != 403, "{route:?} with {token}: {status}");
        }
    }
}

#[tokio::test]
async fn probes_and_metrics_need_no_token() {
    let world = World::start().await;
    assert_eq!(world.ask("GET", "/livez").send().await.text(), "alive\n");
    let ready = crate::world::eventually("it is ready", || async {
        let reply = world.ask("GET", "/readyz").send().await;
        (reply.status == 200).then_some(reply)
    });
    assert!(ready.await.text().starts_with("ready\n"));
    let metrics = world.ask("GET", "/metrics").send().await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(
        metrics.text().contains("hiveforge_nexus_up 1\n"),
        "{}",
        metrics.text()
    );
    assert!(metrics.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case() {
    let world = World::start().await;
    let reply = world
        .ask("GET", "/v1/jobs")
        .header("authorization", format!("bearer {ADMIN}"))
        .send()
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_refusal_reaches_the_client_with_its_code() {
    let world = World::start().await;
    let stranger = Client::new([format!("http://{}", world.address)], "stranger").unwrap();
    let refused = stranger
        .get::<serde_json::Value>("/v1/jobs", Default::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Some("unauthenticated"));
}
