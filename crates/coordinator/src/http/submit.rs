//! Submitting: one spec, a batch of them, or an old job's spec again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::matching::could_ever;
use domain::{Digest, JobId, JobSpec, Lane, Offer, Principal, SpecError};
use ledger::{Accepted, Idempotency, Submission};
use protocol::Problem;
use protocol::jobs::{BatchItem, BatchSubmit, BatchSubmitted, IDEMPOTENT_REPLAYED, Submitted};
use protocol::limits::BATCH_JOBS_MAX;
use tokio::time::Instant;

use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{Admin, JsonBody, Path, RawBody, idempotency_key, job_id, no_job};
use crate::http::problem::Failed;
use crate::intake;

/// How long a submit may take to be committed.
const SUBMIT_MAX: Duration = Duration::from_secs(20);

/// Most bytes of a lane's name, which states all requirements.
const LANE_BYTES_MAX: usize = 512;

/// `POST /v1/jobs`: a spec in JSON, or in TOML when the content type says so.
pub(super) async fn one(
    State(coordinator): Shared,
    Admin(principal): Admin,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, Failed> {
    let text = std::str::from_utf8(&body)
        .map_err(|_| Failed::bad_request("body_not_text", "the body is not UTF-8 text"))?;
    let is_toml = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/toml"));
    let spec = if is_toml {
        JobSpec::from_toml(text)
    } else {
        JobSpec::from_json(text)
    };
    let spec = spec.map_err(|error| invalid_spec(&error))?;
    submit_one(&coordinator, principal, &headers, spec).await
}

/// `POST /v1/jobs/{job}/rerun`: the same spec as a new job.
pub(super) async fn rerun(
    State(coordinator): Shared,
    Admin(principal): Admin,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = job_id(&coordinator, &job)?;
    let spec = coordinator.ledger.spec(&id).await?.ok_or_else(|| no_job(&id))?;
    // A time that has passed says nothing about the new job.
    submit_one(
        &coordinator,
        principal,
        &headers,
        JobSpec {
            not_before: None,
            ..spec
        },
    )
    .await
}

async fn submit_one(
    coordinator: &Arc<Coordinator>,
    principal: Principal,
    headers: &HeaderMap,
    spec: JobSpec,
) -> Result<Response, Failed> {
    let key = idempotency_key(headers)?;
    can_be_queued(&spec)?;
    inputs_are_there(coordinator, &spec).await?;
    let idempotency = key.map(|key| Idempotency {
        key,
        content: spec.digest(),
    });
    let lane = Lane::new(spec.resources(), spec.constraints());
    // Before the commit: what fails after it would deny a job that was accepted.
    let warnings = Warnings::new(coordinator).await?.of(&lane);
    let accepted = submit(
        coordinator,
        Submission {
            principal,
            specs: vec![spec],
            idempotency,
        },
    )
    .await?;
    let replayed = accepted.replayed;
    let id = first(accepted)?;
    let status = if replayed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let location = format!("/v1/jobs/{id}");
    let mut response = (
        status,
        [(header::LOCATION, location)],
        Json(Submitted { id, warnings }),
    )
        .into_response();
    mark_replayed(&mut response, replayed);
    Ok(response)
}

/// `POST /v1/jobs/batch`: each item is accepted or refused on its own.
pub(super) async fn batch(
    State(coordinator): Shared,
    Admin(principal): Admin,
    headers: HeaderMap,
    JsonBody(batch): JsonBody<BatchSubmit>,
) -> Result<Response, Failed> {
    if batch.jobs.is_empty() || batch.jobs.len() > BATCH_JOBS_MAX {
        let detail = format!(
            "`jobs` has {} items; 1 to {BATCH_JOBS_MAX} are taken at once",
            batch.jobs.len()
        );
        return Err(Failed::bad_request("batch_size", detail));
    }
    let mut items = Vec::with_capacity(batch.jobs.len());
    for raw in &batch.jobs {
        items.push(checked(&coordinator, raw.get()).await);
    }
    let specs: Vec<JobSpec> = items
        .iter()
        .filter_map(|item| item.as_ref().ok().cloned())
        .collect();
    let lanes: Vec<Lane> = specs
        .iter()
        .map(|spec| Lane::new(spec.resources(), spec.constraints()))
        .collect();
    // Before the commit: what fails after it would deny jobs that were accepted.
    let mut warnings = Warnings::new(&coordinator).await?;
    let accepted = if specs.is_empty() {
        Accepted {
            ids: Vec::new(),
            replayed: false,
        }
    } else {
        let content = content_of(&specs);
        let idempotency = idempotency_key(&headers)?.map(|key| Idempotency { key, content });
        submit(
            &coordinator,
            Submission {
                principal,
                specs,
                idempotency,
            },
        )
        .await?
    };
    let replayed = accepted.replayed;
    let mut made = accepted.ids.into_iter().zip(lanes);
    let results = items.into_iter().map(|item| match item.map(|_| made.next()) {
        Err(failed) => BatchItem::Refused(*failed.0),
        Ok(Some((id, lane))) => BatchItem::Submitted(Submitted {
            id,
            warnings: warnings.of(&lane),
        }),
        Ok(None) => BatchItem::Refused(Problem::new(500, "no_id", "the job got no id")),
    });
    let mut response = Json(BatchSubmitted {
        items: results.collect(),
    })
    .into_response();
    mark_replayed(&mut response, replayed);
    Ok(response)
}

async fn checked(coordinator: &Coordinator, json: &str) -> Result<JobSpec, Failed> {
    let spec = JobSpec::from_json(json).map_err(|error| invalid_spec(&error))?;
    can_be_queued(&spec)?;
    inputs_are_there(coordinator, &spec).await?;
    Ok(spec)
}

/// A lane is named after what it requires, and names have a limit.
fn can_be_queued(spec: &JobSpec) -> Result<(), Failed> {
    let bytes = Lane::new(spec.resources(), spec.constraints()).set().len();
    if bytes <= LANE_BYTES_MAX {
        return Ok(());
    }
    Err(invalid_spec(&SpecError {
        message: format!(
            "all requirements together take {bytes} bytes, at most {LANE_BYTES_MAX} are allowed"
        ),
        field: Some("requires".to_owned()),
        at: None,
    }))
}

async fn submit(coordinator: &Coordinator, request: Submission) -> Result<Accepted, Failed> {
    let request = Box::new(request);
    let answer = coordinator
        .intake
        .ask(|reply| intake::Msg::Submit(request, reply), SUBMIT_MAX)
        .await?;
    Ok(answer?)
}

fn first(accepted: Accepted) -> Result<JobId, Failed> {
    let missing = || Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "no_id", "the job got no id");
    accepted.ids.into_iter().next().ok_or_else(missing)
}

fn invalid_spec(error: &domain::SpecError) -> Failed {
    Failed(Box::new(
        Problem::new(422, "spec_invalid", error.to_string()).with_spec_error(error),
    ))
}

/// A batch's content: the digests of its specs, in order.
fn content_of(specs: &[JobSpec]) -> Digest {
    let digests: Vec<u8> = specs.iter().flat_map(|spec| *spec.digest().as_bytes()).collect();
    Digest::of(&digests)
}

fn mark_replayed(response: &mut Response, replayed: bool) {
    if replayed {
        let name = header::HeaderName::from_static(IDEMPOTENT_REPLAYED);
        response
            .headers_mut()
            .insert(name, header::HeaderValue::from_static("true"));
    }
}

/// A job whose inputs are not there could only fail, so it is refused at once.
async fn inputs_are_there(coordinator: &Coordinator, spec: &JobSpec) -> Result<(), Failed> {
    for (path, input) in &spec.inputs {
        match coordinator.vault.presence(input.digest).await? {
            vault::transfer::Presence::Whole(_) => {}
            vault::transfer::Presence::Partial(_) | vault::transfer::Presence::Absent => {
                let detail = format!(
                    "inputs.{path}: there is no blob {}; upload it first with PUT /v1/blobs/{}",
                    input.digest, input.digest
                );
                return Err(Failed::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "input_missing",
                    detail,
                ));
            }
        }
    }
    Ok(())
}

/// What submitters should know at once: whether any known agent could ever run the job.
struct Warnings {
    offers: Arc<[Offer]>,
    known: HashMap<Lane, Vec<String>>,
}

impl Warnings {
    async fn new(coordinator: &Coordinator) -> Result<Self, Failed> {
        let now = Instant::now();
        let offers = match coordinator.offers.fresh(now) {
            Some(offers) => offers,
            None => {
                let agents = coordinator.ledger.agents().await?;
                let offers = agents.iter().map(|(agent, _)| agent.offer(agent.capacity, false));
                let offers: Arc<[Offer]> = offers.collect();
                coordinator.offers.keep(Arc::clone(&offers), now);
                offers
            }
        };
        Ok(Self {
            offers,
            known: HashMap::new(),
        })
    }

    fn of(&mut self, lane: &Lane) -> Vec<String> {
        if let Some(known) = self.known.get(lane) {
            return known.clone();
        }
        let able = self.offers.iter().any(|offer| could_ever(lane, offer));
        let warning = match (able, self.offers.len()) {
            (true, _) => None,
            (false, 0) => Some("no agent has enrolled yet; the job waits for one".to_owned()),
            (false, n) => Some(format!(
                "none of the {n} known agents can run it; see why with `job why`"
            )),
        };
        let warnings: Vec<String> = warning.into_iter().collect();
        self.known.insert(lane.clone(), warnings.clone());
        warnings
    }
}
