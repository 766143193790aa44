//! The HTTP API: one file for each noun of the protocol, each a translation between the wire and the ledger.
//!
//! Handlers check the caller, parse strictly, call the ledger or ask an actor, and map the answer. No rule lives here.
//! Every answer that is no success is a problem document, those for unknown paths and wrong methods included.

mod agents;
mod blobs;
#[cfg(feature = "faults")]
mod chaos;
mod extract;
mod follow;
mod gate;
mod jobs;
mod leases;
mod observer;
mod operations;
mod output;
mod problem;
mod quarantine;
mod range;
mod submit;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, head, post, put};
use protocol::limits::JSON_BODY_BYTES_MAX;

#[cfg(feature = "faults")]
pub(crate) use self::chaos::for_peer as drilled_for_peer;
pub(crate) use self::observer::for_peer as observed_for_peer;
use crate::coordinator::Coordinator;

/// What handlers share.
type Shared = axum::extract::State<Arc<Coordinator>>;

/// All routes, as a service.
pub(crate) fn router(coordinator: Arc<Coordinator>) -> Router {
    let routes = routes();
    #[cfg(feature = "faults")]
    let routes = routes.merge(chaos::routes());
    routes
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&coordinator), gate::gate))
        .with_state(coordinator)
}

/// The routes of every build.
fn routes() -> Router<Arc<Coordinator>> {
    let jobs = Router::new()
        .route("/v1/jobs", get(jobs::list).post(submit::one))
        .route("/v1/jobs/batch", post(submit::batch))
        .route("/v1/quarantine", get(quarantine::list))
        .route("/v1/jobs/{job}", get(jobs::show))
        .route("/v1/jobs/{job}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{job}/rerun", post(submit::rerun))
        .route("/v1/jobs/{job}/why", get(jobs::why))
        .route("/v1/jobs/{job}/events", get(jobs::events))
        .route("/v1/jobs/{job}/attempts/{attempt}/log", get(output::log))
        .route(
            "/v1/jobs/{job}/attempts/{attempt}/artifacts",
            get(output::artifacts),
        )
        .route(
            "/v1/jobs/{job}/attempts/{attempt}/artifacts/{*path}",
            get(output::artifact),
        );
    let agents = Router::new()
        .route("/v1/agents", get(agents::list).post(agents::enrol))
        .route("/v1/agents/{name}", get(agents::show))
        .route("/v1/agents/{name}/drain", post(agents::drain))
        .route("/v1/agents/{name}/resume", post(agents::resume))
        .route("/v1/claims", post(leases::claim))
        .route("/v1/leases/renew", post(leases::renew))
        .route("/v1/leases/log", post(leases::log))
        .route("/v1/leases/finish", post(leases::finish))
        .route("/v1/leases/release", post(leases::release))
        .route("/v1/leases/refusals", get(leases::refusals));
    let json = jobs
        .merge(agents)
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX));
    let blobs = Router::new()
        .route(
            "/v1/blobs/{digest}",
            put(blobs::store).layer(DefaultBodyLimit::disable()),
        )
        .route("/v1/blobs/{digest}", head(blobs::presence).get(blobs::fetch));
    Router::new()
        .merge(json)
        .merge(blobs)
        .route("/livez", get(operations::livez))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/v1/limits", get(operations::limits))
        .route("/v1/observer/tree", get(observer::tree))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use nexus::{Clock, MemoryNexus, TxId};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Access, Config, LeaseSeal, Parts};

    #[tokio::test]
    async fn no_fault_can_be_injected_through_the_routes_of_every_build() {
        let dir = tempfile::tempdir().unwrap();
        let nexus = Arc::new(MemoryNexus::new(Clock::system()));
        let tx_ids = Arc::new(|| TxId(1));
        let coordinator = Coordinator::over_its_own(Parts {
            ledger: ledger::Ledger::new(nexus, "default".parse().unwrap(), tx_ids),
            vault: vault::Vault::open(dir.path()).unwrap(),
            access: Access::new("admin", "join"),
            seal: LeaseSeal::new([7; 32]),
            config: Config::default(),
            trees: Vec::new(),
            link: None,
        });
        let status = async |router: Router, method: &str| {
            let request = Request::builder().method(method).uri("/v1/chaos");
            let request = request
                .header("authorization", "Bearer admin")
                .body(Body::empty())
                .unwrap();
            router.oneshot(request).await.unwrap().status()
        };
        for method in ["GET", "POST"] {
            let of_every_build = routes().with_state(Arc::clone(&coordinator));
            assert_eq!(status(of_every_build, method).await, StatusCode::NOT_FOUND);
            let is_there = status(router(Arc::clone(&coordinator)), method).await != StatusCode::NOT_FOUND;
            assert_eq!(is_there, cfg!(feature = "faults"), "{method}");
        }
    }
}
