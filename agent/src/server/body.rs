//! Bodies of POST requests, so that however many come, little memory and no time of the server's only thread is spent.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::answer::Refusal;
use super::{AppState, work_within};

/// Largest body, bytes: an SDK's buffer of 5,000 events, some with tracebacks.
pub(super) const MAX_BODY: usize = 16 << 20;

/// Bodies held at a time; the others wait at their sockets.
pub(super) const BODIES: usize = 2;

/// How long a body may take: whoever sends it holds up others.
const SLOWEST: Duration = Duration::from_secs(20);

impl AppState {
    /// Reads a body and has a thread that may block work on it.
    pub(crate) async fn with_body<T: Send + 'static>(
        &self,
        request: Request,
        work: impl FnOnce(Bytes) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        // The semaphore is never closed; a permit that is not had is one body more.
        let permit = Arc::clone(&self.bodies).acquire_owned().await;
        let body = tokio::time::timeout(SLOWEST, request.extract::<Bytes, _>()).await;
        let body = body.map_err(|_| Refusal::Bad("the body took too long".into()))?;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Refusal::TooLarge(format!("the body has more than {MAX_BODY} bytes: send it in parts"))
            }
            _ => Refusal::Bad(rejection.body_text()),
        })?;
        work_within(permit, move || work(body)).await?
    }
}

/// A list of at most `MAX` items, or null: items that take two bytes as JSON take hundreds here.
pub(super) fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Option::<Capped<T, MAX>>::deserialize(deserializer)?.map(|capped| capped.0))
}

struct Capped<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Capped<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of {MAX} items at most")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut taken = Vec::new();
                while let Some(item) = items.next_element()? {
                    if taken.len() >= MAX {
                        return Err(A::Error::custom(format!(
                            "more than {MAX} items in a list: send them in parts"
                        )));
                    }
                    taken.push(item);
                }
                Ok(taken)
            }
        }

        deserializer.deserialize_seq(Items::<T, MAX>(PhantomData)).map(Self)
    }
}
