//! Lets no request pass that would touch nexus or vault before an inspection has passed (see `inspection`).
//!
//! It stands before the check of the caller: whoever comes too early is told to come again, never that a token is wrong.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::Shared;
use crate::http::operations::not_ready;

/// What answers from this process alone, for whoever wants to know what it waits for.
const ALWAYS_OPEN: [&str; 4] = ["/livez", "/readyz", "/metrics", "/v1/observer/tree"];

pub(super) async fn gate(State(coordinator): Shared, request: Request, next: Next) -> Response {
    if coordinator.signals.is_open() || ALWAYS_OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    not_ready(&coordinator.signals.health()).into_response()
}
