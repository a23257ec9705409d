//! The one place that every request passes before it reaches a handler: who sends it, for which
//! tenant, how often, and whether they may.
//!
//! Invariants:
//! - the order is token, name, tenant, rate, permission; a path or a method that is not served is
//!   answered before any of them;
//! - a route without a row in the [`AccessTable`] is refused;
//! - a refusal says what is missing and nothing about what is there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyperfleet_domain::registry::Registry;
use hyperfleet_runtime::Clock;
use hyperfleet_runtime::http::{
    CallerKey, CallerSlot, FaultResponse, Identity, PeerAddress, TenantScope,
};
use tokio_util::sync::CancellationToken;

use super::access::{Access, AccessTable};
use super::bindings::Bindings;
use super::claims::Claims;
use super::config::{IdentityConfig, Isolation};
use super::metrics::IdentityMetrics;
use super::rate_limit::Limiter;
use super::refusal::Refusal;
use super::roles::{Permission, Role};
use super::tenancy::{Tenancy, Tenant};
use super::tokens::Issuers;

/// Why the gate cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// What the configuration names cannot be used.
    #[error("{key}: {reason}")]
    Keys {
        /// The key of the configuration.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The metrics are registered already.
    #[error("the metrics of callers cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Decides which requests reach a handler, and as whose.
pub struct Gate {
    table: AccessTable,
    issuers: Option<Issuers>,
    tenancy: Option<Tenancy>,
    bindings: Option<Bindings>,
    limiter: Option<Limiter>,
    metrics: IdentityMetrics,
}

/// Who sends a request, before it is known whether they may.
struct Caller {
    identity: Identity,
    claims: Claims,
}

/// Where a request comes from, and who wants to know who sent it.
struct Origin {
    peer: Option<SocketAddr>,
    slot: CallerSlot,
}

impl Gate {
    /// A gate for the routes of these kinds.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used, or the metrics are registered already.
    pub fn new(
        config: &IdentityConfig,
        registry: &Registry,
        clock: &Arc<dyn Clock>,
        metrics: &prometheus::Registry,
    ) -> Result<Self, GateError> {
        let metrics = IdentityMetrics::register(metrics)?;
        let issuers = config
            .jwt
            .enabled
            .then(|| Issuers::new(&config.jwt, clock, &metrics))
            .transpose()?;
        let bindings = config
            .authorization
            .is_enabled()
            .then(|| Bindings::new(&config.authorization))
            .transpose()
            .map_err(|error| GateError::Keys {
                key: "server.authorization.bindings".to_owned(),
                reason: error.to_string(),
            })?;
        let tenancy = config.tenant.enabled;
        let limiter = config.rate_limit.enabled;
        Ok(Self {
            table: AccessTable::of(registry),
            issuers,
            tenancy: tenancy.then(|| Tenancy::new(config.tenant.clone())),
            bindings,
            limiter: limiter.then(|| Limiter::new(config.rate_limit)).flatten(),
            metrics,
        })
    }

    /// Puts the gate before every route of a router.
    pub fn guard(self: &Arc<Self>, router: Router) -> Router {
        router.route_layer(middleware::from_fn_with_state(Arc::clone(self), pass))
    }

    /// Keeps the keys that verify tokens fresh until shutdown.
    pub async fn keep_keys_fresh(&self, shutdown: CancellationToken) {
        let Some(issuers) = &self.issuers else { return };
        tokio::select! {
            () = issuers.keep_fresh() => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// The identity of a request that may do what needs `permission`.
    async fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        origin: &Origin,
        permission: Permission,
    ) -> Result<Identity, Refusal> {
        let peer = origin.peer;
        let mut caller = match self.identify(method, headers, &origin.slot).await {
            Ok(caller) => caller,
            // Who proves nothing is limited by where they come from.
            Err(refusal) => {
                self.limit(&peer_key(peer))?;
                return Err(refusal);
            }
        };
        tracing::Span::current().record("caller", &caller.identity.actor);
        self.limit(&self.rate_key(&caller.identity, peer))?;
        self.authorize(&caller, permission)?;
        caller.identity.may_operate =
            !caller.identity.is_system && self.authorize(&caller, Permission::Operate).is_ok();
        Ok(caller.identity)
    }

    /// Tells the slot as soon as it is known, so that a refusal that follows has its author.
    async fn identify(
        &self,
        method: &Method,
        headers: &HeaderMap,
        slot: &CallerSlot,
    ) -> Result<Caller, Refusal> {
        let mut identity = Identity::default();
        let mut claims = Claims::new();
        if let Some(issuers) = &self.issuers {
            let authenticated = issuers.authenticate(headers).await?;
            claims = authenticated.claims;
            identity.actor = match authenticated.name {
                Ok(Some(name)) => name,
                _ if method.is_safe() => String::new(),
                Ok(None) => return Err(Refusal::NoName),
                Err(reason) => return Err(Refusal::UnusableName(reason)),
            };
        }
        if let Some(tenancy) = &self.tenancy {
            let tenant = tenancy.resolve(headers);
            let tenant = tenant.inspect_err(|_| slot.identified(&identity))?;
            match tenant {
                Tenant::System => identity.is_system = true,
                Tenant::Dimensions(dimensions) => {
                    if tenancy.isolation() == Isolation::Strict {
                        identity.scope = TenantScope::of(dimensions.clone());
                    }
                    identity.tenancy = dimensions;
                }
            }
        }
        slot.identified(&identity);
        Ok(Caller { identity, claims })
    }

    fn limit(&self, caller: &str) -> Result<(), Refusal> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let admitted = limiter.admit(caller);
        self.metrics.set_callers(limiter.callers());
        admitted.map_err(|wait_seconds| Refusal::TooOften { wait_seconds })
    }

    /// Whom a request counts for: a proven name within its tenant, else where it comes from.
    fn rate_key(&self, identity: &Identity, peer: Option<SocketAddr>) -> String {
        let has_name = self.issuers.is_some() && !identity.actor.is_empty();
        let name = if has_name { &identity.actor } else { "" };
        if has_name || !identity.tenancy.is_empty() {
            format!("{name}\n{:?}", identity.tenancy)
        } else {
            peer_key(peer)
        }
    }

    fn authorize(&self, caller: &Caller, permission: Permission) -> Result<(), Refusal> {
        let Some(bindings) = &self.bindings else {
            return Ok(());
        };
        let roles = if caller.identity.is_system {
            BTreeSet::from([Role::Adapter])
        } else {
            bindings.roles(&caller.identity.actor, &caller.claims)
        };
        if roles.iter().any(|role| role.permits(permission)) {
            return Ok(());
        }
        if caller.identity.is_system {
            return Err(Refusal::SystemIdentity);
        }
        Err(Refusal::NotPermitted { permission, roles })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let reason = refusal.reason();
        self.metrics.count_refusal(reason);
        let fault = refusal.fault();
        tracing::info!(
            code = fault.code.code,
            reason,
            detail = fault.detail,
            "a request was refused"
        );
        let mut response = FaultResponse(fault).into_response();
        if let Refusal::TooOften { wait_seconds } = refusal {
            let value = HeaderValue::from(*wait_seconds);
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        response
    }
}

fn peer_key(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_string())
}

fn peer_of(request: &Request) -> Option<SocketAddr> {
    let peer = request.extensions().get::<PeerAddress>();
    peer.map(|PeerAddress(address)| *address)
}

async fn pass(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let template = path
        .map(|path| path.as_str().to_owned())
        .unwrap_or_default();
    let method = request.method().clone();
    let identity = match gate.table.access(&method, &template) {
        Some(Access::Public) => Ok(Identity::default()),
        Some(Access::Needs(permission)) => {
            let origin = Origin {
                peer: peer_of(&request),
                slot: request.extensions().get().cloned().unwrap_or_default(),
            };
            gate.admit(&method, request.headers(), &origin, permission)
                .await
        }
        None => return without_row(&gate, request, next, &template).await,
    };
    match identity {
        Ok(identity) => {
            // Requests of one caller wait for each other, not for those of others.
            let key = gate.rate_key(&identity, peer_of(&request));
            request.extensions_mut().insert(CallerKey(key));
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => gate.refuse(&refusal),
    }
}

/// A method without a row is either not served, which its caller is told, or was forgotten, and is
/// refused. Which of the two the route itself says when it is asked with a method that no route has.
async fn without_row(gate: &Gate, request: Request, next: Next, template: &str) -> Response {
    let method = request.method().clone();
    let mut probe = Request::new(Body::empty());
    *probe.method_mut() = Method::from_bytes(b"PROBE").unwrap_or(Method::TRACE);
    *probe.uri_mut() = request.uri().clone();
    let answer = next.run(probe).await;
    let is_served = |answer: &Response| {
        let allow = answer.headers().get(ALLOW);
        let allow = allow.and_then(|value| value.to_str().ok());
        allow
            .unwrap_or_default()
            .split(',')
            .any(|one| one.trim() == method.as_str())
    };
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED && !is_served(&answer) {
        return answer;
    }
    tracing::error!(
        %method,
        template,
        "a route is served that has no row in the table of access; it is refused"
    );
    gate.refuse(&Refusal::NoRow {
        route: format!("{method} {template}"),
    })
}
