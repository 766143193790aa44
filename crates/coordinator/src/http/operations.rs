//! For those who run a coordinator: is it alive, is it ready, what does it count, what are its limits.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use protocol::limits::Limits;

use crate::http::Shared;
use crate::http::extract::AgentCaller;
use crate::http::problem::Failed;
use crate::signals::Health;

/// `GET /livez`: the process answers. Never touches the nexus.
pub(super) async fn livez() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: send requests here, or not.
pub(super) async fn readyz(State(coordinator): Shared) -> Result<&'static str, Failed> {
    let not_ready = |detail: String| Failed::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail);
    if coordinator.connections.closing().is_cancelled() {
        return Err(not_ready("the coordinator is stopping".to_owned()));
    }
    match coordinator.signals.health() {
        Health::Up => Ok("ready\n"),
        Health::Unknown => Err(not_ready("the state store was not asked yet".to_owned())),
        Health::Down(why) => Err(not_ready(format!("the state store does not answer: {why}"))),
    }
}

/// `GET /metrics`, in OpenMetrics.
pub(super) async fn metrics(State(coordinator): Shared) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, kind)],
        coordinator.metrics.text(&coordinator.signals.health()),
    )
}

/// `GET /v1/limits`, for everybody with a token.
pub(super) async fn limits(_: AgentCaller) -> Json<Limits> {
    Json(Limits::current())
}
