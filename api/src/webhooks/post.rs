//! One POST to an address that was looked at first. Redirects are not followed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::WebhookOptions;
use super::address::{WebhookUrl, is_public};
use super::signature::WebhookHeaders;

/// Why a receiver did not take a delivery.
#[derive(Debug, Error)]
pub(super) enum PostError {
    #[error("no secret to sign with")]
    NoSecret,
    #[error("the address is not allowed")]
    Forbidden,
    #[error("the receiver is gone")]
    Gone,
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    #[error("the receiver did not answer in time")]
    TimedOut,
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the receiver does not speak HTTP: {0}")]
    Protocol(#[from] hyper::Error),
}

/// Carries deliveries.
pub(super) struct Courier {
    tls: TlsConnector,
}

impl Courier {
    /// Trusts the certificates that browsers trust.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Delivers once. Cancel-safe: dropping it closes the connection.
    pub(super) async fn post(
        &self,
        url: &WebhookUrl,
        options: &WebhookOptions,
        headers: WebhookHeaders,
        body: Bytes,
    ) -> Result<(), PostError> {
        url.check_scheme(options).map_err(|_| PostError::Forbidden)?;
        let addresses = resolve(url).await?;
        let is_allowed = |address: &SocketAddr| url.is_vouched_for(options) || is_public(address.ip());
        // The very address that was looked at is connected to: a name cannot change its mind in between.
        let address = addresses.into_iter().find(is_allowed).ok_or(PostError::Forbidden)?;
        let stream = TcpStream::connect(address).await?;
        let request = Request::post(&url.path)
            .header(header::HOST, &url.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("jetmill/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", headers.id)
            .header("webhook-timestamp", headers.timestamp)
            .header("webhook-signature", headers.signature)
            .body(Full::new(body))
            .map_err(|_| PostError::Forbidden)?;
        let status = if url.is_tls {
            let name = ServerName::try_from(url.host.clone()).map_err(|_| PostError::Forbidden)?;
            send(self.tls.connect(name, stream).await?, request).await?
        } else {
            send(stream, request).await?
        };
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(PostError::Gone),
            status => Err(PostError::Refused(status)),
        }
    }
}

async fn resolve(url: &WebhookUrl) -> Result<Vec<SocketAddr>, io::Error> {
    if let Ok(address) = url.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, url.port)]);
    }
    Ok(tokio::net::lookup_host((url.host.as_str(), url.port)).await?.collect())
}

/// The status alone: nobody reads what a receiver says beside it.
async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a receiver's connection ended early");
        }
    });
    Ok(sender.send_request(request).await?.status())
}
