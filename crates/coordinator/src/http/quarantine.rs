//! Jobs that are put aside because their records cannot be read, for people who repair them.

use axum::Json;
use axum::extract::State;
use domain::{JobId, Timestamp};
use serde::Serialize;

use crate::http::Shared;
use crate::http::extract::Admin;
use crate::http::problem::Failed;

/// One job that is put aside.
#[derive(Debug, Serialize)]
pub(super) struct QuarantinedView {
    job: JobId,
    /// When it was put aside.
    at: Timestamp,
    /// The ordered set in which it stood.
    from: String,
    /// Why its record cannot be read.
    why: String,
}

/// `GET /v1/quarantine`: the oldest first, up to 1,024.
pub(super) async fn list(State(coordinator): Shared, _: Admin) -> Result<Json<Vec<QuarantinedView>>, Failed> {
    let listed = coordinator.ledger.quarantined().await?;
    let views = listed.into_iter().map(|one| QuarantinedView {
        job: one.job,
        at: one.record.at,
        from: one.record.from,
        why: one.record.why,
    });
    Ok(Json(views.collect()))
}
