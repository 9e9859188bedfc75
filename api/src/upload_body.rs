//! The body of an upload, which can be read on after the upload was refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// A sender that writes all before it reads gets to read the refusal only when its bytes are taken; longer than this
/// nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body in two hands.
#[derive(Clone)]
pub(crate) struct UploadBody {
    data: Arc<Mutex<axum::body::BodyDataStream>>,
}

impl UploadBody {
    /// The same request, and a second hand on its body.
    pub(crate) fn of(request: Request) -> (Request, Self) {
        let (parts, body) = request.into_parts();
        let body = Self { data: Arc::new(Mutex::new(body.into_data_stream())) };
        (Request::from_parts(parts, Body::from_stream(body.clone())), body)
    }

    /// Throws away what still comes, while the answer goes out.
    pub(crate) fn read_on(mut self) {
        tokio::spawn(async move {
            let read_on = async { while let Some(Ok(_)) = self.next().await {} };
            if tokio::time::timeout(PATIENCE, read_on).await.is_err() {
                tracing::debug!("a refused upload is not read to its end");
            }
        });
    }
}

impl Stream for UploadBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        data.poll_next_unpin(context)
    }
}
