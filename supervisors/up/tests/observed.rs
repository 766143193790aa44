//! Both trees of the process are seen through the one coordinator.

use std::future::pending;
use std::time::Duration;

use coordinator_tree::Tokens;
use hiveforge_supervisors_up::{Config, start};
use protocol::client::{Client, Options};
use protocol::observer::{ActorState, Reading};

#[tokio::test(flavor = "multi_thread")]
async fn the_actors_of_coordinator_and_agent_are_shown_together() {
    let data = tempfile::tempdir().unwrap();
    let running = start(Config {
        data: data.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        slots: Some(1),
        coordinator: coordinator::Config::default(),
    })
    .await
    .unwrap();
    let token = Tokens::open(data.path()).unwrap().admin;
    let client = Client::new([format!("http://{}", running.address())], &token).unwrap();
    let limit = Options::default().timeout(Duration::from_secs(10));
    let reading: Reading = client.get("/v1/observer/tree", limit).await.unwrap();
    let names: Vec<&str> = reading.trees.iter().map(|tree| tree.name.as_str()).collect();
    assert_eq!(names, ["coordinator", "agent"]);
    for path in ["coordinator/dispatch", "agent", "agent/poller", "agent/runs"] {
        let actor = reading
            .actor(path)
            .unwrap_or_else(|| panic!("{path} is not there"));
        assert_eq!(
            (actor.state, actor.incarnation),
            (ActorState::Running, 1),
            "{path}"
        );
    }
    assert!(
        reading.trees.iter().all(|tree| tree.totals.restarts == 0),
        "{reading:?}"
    );
    running.close(pending()).await;
}
