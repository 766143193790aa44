//! What is within the published limits is stored, and what is not is refused by name; nothing is answered with "try
//! again" for ever.

use domain::spec::SPEC_BYTES_MAX;
use protocol::jobs::{BatchItem, BatchSubmitted};
use protocol::limits::JSON_BODY_BYTES_MAX;
use serde_json::json;

use crate::world::World;

/// A spec of nearly the largest size.
fn large(n: usize) -> serde_json::Value {
    json!({"command": ["true"], "name": format!("large-{n}"), "env": {"X": "x".repeat(SPEC_BYTES_MAX - 500)}})
}

#[tokio::test]
async fn a_batch_as_large_as_a_body_may_be_is_taken_as_a_whole() {
    let world = World::start().await;
    let body = json!({ "jobs": (0..255).map(large).collect::<Vec<_>>() }).to_string();
    assert!(body.len() <= JSON_BODY_BYTES_MAX && body.len() + SPEC_BYTES_MAX * 16 > JSON_BODY_BYTES_MAX);
    let taken = world.say("POST", "/v1/jobs/batch").body(body).send().await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    let items = taken.json::<BatchSubmitted>().items;
    assert!(items.iter().all(|item| matches!(item, BatchItem::Submitted(_))));
}

#[tokio::test]
async fn requirements_that_no_lane_can_be_named_after_are_an_error_of_the_spec() {
    let world = World::start().await;
    let requires: Vec<String> = (0..10)
        .map(|n| format!("label-{n} = {}", "v".repeat(60)))
        .collect();
    let spec = json!({"command": ["true"], "requires": requires}).to_string();
    let refused = world.say("POST", "/v1/jobs").body(spec).send().await;
    assert_eq!(refused.status, 422);
    let problem = refused.problem();
    assert_eq!(
        (problem.code.as_str(), problem.errors[0].field.as_deref()),
        ("spec_invalid", Some("requires"))
    );
    let requires: Vec<String> = (0..7)
        .map(|n| format!("label-{n} = {}", "v".repeat(55)))
        .collect();
    let spec = json!({"command": ["true"], "requires": requires}).to_string();
    assert_eq!(world.say("POST", "/v1/jobs").body(spec).send().await.status, 201);
}

#[tokio::test]
async fn cursors_that_nobody_gave_do_no_harm() {
    let world = World::start().await;
    world.submit().await;
    for cursor in [
        "1.",
        ".x",
        "99999999999999999999.x",
        "18446744073709551615.zzz",
        "0.%00",
    ] {
        let status = world
            .say("GET", &format!("/v1/jobs?cursor={cursor}"))
            .send()
            .await
            .status;
        assert!(status == 200 || status == 400, "{cursor}: {status}");
    }
}

#[tokio::test]
async fn the_longest_key_is_stored() {
    let world = World::start().await;
    let submit = |key: String| {
        let ask = world.say("POST", "/v1/jobs").header("idempotency-key", key);
        ask.body(r#"{"command": ["true"]}"#).send()
    };
    assert_eq!(submit("k".repeat(128)).await.status, 201);
    assert_eq!(
        submit("k".repeat(129)).await.problem().code,
        "bad_idempotency_key"
    );
}
