//! The admin address: metrics and health over HTTP, for monitoring and service managers.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | the process's metrics, Prometheus text format 0.0.4 |
//! | `/healthz` | 200 while the process can answer at all |
//! | `/readyz` | 200 while mail is accepted; 503 before the listeners are up and while stopping |
//! | `/tap?stage=…&verdict=…&failure=…&queue_id=…` | decisions as they happen, a JSON object a line, until the client goes |
//! | `POST /reload` | reads the configuration again: 200 and what came of it, or 422 and its mistakes, everything as it was |
//!
//! Invariant: shows numbers and states (and to who reloads, the mistakes of the configuration), never mail. Nothing is taken from a
//! request: it can not say what to load.

pub mod readiness;

pub use actix_web::dev::ServerHandle as Handle;
pub use readiness::{Phase, Readiness};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Server,
    http::{Method, header},
    web,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use prometheus::{Registry, TextEncoder};
use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

/// Reads the configuration again; says what came of it, or why everything is as it was.
pub type ReloadHook = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// What somebody listens to, in lines.
pub type Lines = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Decisions as they happen, by the query of the request; or why not, for whoever asked.
pub type TapHook = Arc<dyn Fn(Vec<(String, String)>) -> Result<Lines, String> + Send + Sync>;

/// What can be asked for besides numbers.
#[derive(Clone, Default)]
pub struct Hooks {
    /// `POST /reload`
    pub reload: Option<ReloadHook>,
    /// `/tap`
    pub tap: Option<TapHook>,
}

/// How long a client may take to send a request; then the connection is closed.
const REQUEST: Duration = Duration::from_secs(5);
/// Connections served at once: monitoring needs few, and descriptors belong to mail.
const CONNECTIONS: usize = 64;

/// The admin address, bound but not served yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// The admin address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on admin address {address}: {error}")]
pub struct BindError {
    /// As configured.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl Admin {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// When somebody else listens there, or the address is not one of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |error| BindError { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Takes over a socket that listens already.
    ///
    /// # Errors
    /// When it is not bound to an IP address.
    pub fn adopt(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// A descriptor of the same socket, for another process.
    ///
    /// # Errors
    /// When there is no file descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.listener.try_clone()?.into())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the future is dropped or its handle stops it. Needs an actix system. Leaves signals alone.
    ///
    /// # Errors
    /// When the listener can not be used.
    pub fn serve(self, registry: Registry, readiness: Readiness, hooks: Hooks) -> io::Result<Server> {
        let app = move || {
            App::new()
                .app_data(web::Data::new(registry.clone()))
                .app_data(web::Data::new(readiness.clone()))
                .app_data(web::Data::new(hooks.clone()))
                .default_service(web::to(answer))
        };
        let server = HttpServer::new(app)
            .workers(1)
            .max_connections(CONNECTIONS)
            .client_request_timeout(REQUEST)
            .shutdown_timeout(1)
            .disable_signals()
            .listen(self.listener)?;
        Ok(server.run())
    }
}

async fn answer(
    request: HttpRequest,
    registry: web::Data<Registry>,
    readiness: web::Data<Readiness>,
    hooks: web::Data<Hooks>,
) -> HttpResponse {
    if request.path() == "/reload" {
        return reloaded(&request, hooks.reload.as_ref()).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, "GET, HEAD"))
            .body("only GET and HEAD\n");
    }
    match request.path() {
        "/metrics" => metrics(&registry),
        "/tap" => tapped(&request, hooks.tap.as_ref()),
        "/healthz" => HttpResponse::Ok().content_type(TEXT).body("ok\n"),
        "/readyz" => match readiness.phase() {
            Phase::Ready => HttpResponse::Ok().content_type(TEXT).body("ready\n"),
            other => HttpResponse::ServiceUnavailable().content_type(TEXT).body(format!("{}\n", other.name())),
        },
        _ => HttpResponse::NotFound()
            .content_type(TEXT)
            .body("not here; there are /metrics, /healthz, /readyz, /tap, POST /reload\n"),
    }
}

async fn reloaded(request: &HttpRequest, reload: Option<&ReloadHook>) -> HttpResponse {
    let Some(reload) = reload else {
        return HttpResponse::NotFound().content_type(TEXT).body("nothing can be reloaded here\n");
    };
    if *request.method() != Method::POST {
        return HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "POST")).body("only POST\n");
    }
    // A web page that somebody on this machine looks at must not reload: browsers say where a request comes from.
    if request.headers().contains_key(header::ORIGIN) {
        return HttpResponse::Forbidden().content_type(TEXT).body("not for web pages\n");
    }
    match reload().await {
        Ok(text) => HttpResponse::Ok().content_type(TEXT).body(text),
        Err(text) => HttpResponse::UnprocessableEntity().content_type(TEXT).body(text),
    }
}

fn tapped(request: &HttpRequest, tap: Option<&TapHook>) -> HttpResponse {
    let Some(tap) = tap else {
        return HttpResponse::NotFound().content_type(TEXT).body("nothing can be listened to here\n");
    };
    // As for a reload: not for pages of others.
    if request.headers().contains_key(header::ORIGIN) {
        return HttpResponse::Forbidden().content_type(TEXT).body("not for web pages\n");
    }
    let lines = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| error.to_string())
        .and_then(|query| tap(query.into_inner()));
    match lines {
        Ok(lines) => {
            let lines = lines.map(Ok::<_, std::convert::Infallible>);
            let mut answer = HttpResponse::Ok().content_type("application/x-ndjson").force_close().streaming(lines);
            // It ends with the connection, whatever version of HTTP the client speaks.
            answer.head_mut().no_chunking(true);
            answer
        }
        Err(reason) => HttpResponse::BadRequest().content_type(TEXT).body(format!("{reason}\n")),
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn metrics(registry: &Registry) -> HttpResponse {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(error) => {
            tracing::error!(%error, "metrics can not be written");
            HttpResponse::InternalServerError().content_type(TEXT).body("metrics can not be written, see the log\n")
        }
    }
}
