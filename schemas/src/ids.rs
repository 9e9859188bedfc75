//! Newtypes of the ids that name things across processes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Empty, too long, or with a character that a bus subject cannot carry.
    #[error("'{0}' is no {1}: 1 to 64 of a-z, A-Z, 0-9, '-' and '_' are allowed")]
    Name(String, &'static str),
    /// Not a UUID in simple or hyphenated form.
    #[error("'{0}' is no {1}: a UUID is needed")]
    Uuid(String, &'static str),
}

/// An id that can be a token of a bus subject.
pub trait Id: fmt::Display {}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID; version 7 keeps ids in the order of their making.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError::Uuid(text.chars().take(80).collect(), $what))
            }
        }

        impl Id for $name {}
    };
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The nearest valid name: every other character becomes '-', and it is cut at 64.
            pub fn slug(text: &str) -> Self {
                let slug: String =
                    text.chars().map(|c| if is_name_char(c) { c } else { '-' }).take(MAX_NAME_CHARS).collect();
                Self(if slug.is_empty() { "-".to_owned() } else { slug })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let fits = !text.is_empty() && text.len() <= MAX_NAME_CHARS && text.chars().all(is_name_char);
                if fits {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::Name(text.chars().take(80).collect(), $what))
                }
            }
        }

        impl Id for $name {}
    };
}

const MAX_NAME_CHARS: usize = 64;

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

uuid_id!(
    /// One submitted request's life.
    InferenceId, "inference id"
);
uuid_id!(
    /// One fact.
    EventId, "event id"
);
impl InferenceId {
    /// The id that follows from a digest, as a UUIDv8: whoever asks for the same thing gets the same id.
    pub const fn from_digest(digest: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(digest).into_uuid())
    }
}

name_id!(
    /// Whose data it is; nobody else sees, hits or pays for it.
    TenantId, "tenant id"
);
name_id!(
    /// An api node, which holds clients' connections.
    IngressId, "ingress id"
);
name_id!(
    /// A worker process.
    WorkerId, "worker id"
);
name_id!(
    /// Workers that answer for the same model.
    PoolName, "pool name"
);
name_id!(
    /// A file that a client uploaded or a batch wrote.
    FileId, "file id"
);
name_id!(
    /// A batch of requests.
    BatchId, "batch id"
);
name_id!(
    /// A model somewhere that can answer.
    DeploymentId, "deployment id"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = IdError> + fmt::Display>(text: &str, is_valid: bool) {
        match text.parse::<T>() {
            Ok(id) => {
                assert!(is_valid, "{text:?} was taken");
                assert_eq!(id.to_string(), text);
            }
            Err(error) => assert!(!is_valid, "{text:?}: {error}"),
        }
    }

    #[test]
    fn names_are_single_subject_tokens() {
        check::<TenantId>("default", true);
        check::<PoolName>("SmolLM2-135M_q4", true);
        check::<PoolName>("qwen2.5", false);
        check::<TenantId>("", false);
        check::<TenantId>("a>b", false);
        check::<TenantId>("a*", false);
        check::<WorkerId>(&"a".repeat(65), false);
        check::<InferenceId>("0198c6f0a1b27c3d8e4f5061728394a5", true);
        check::<InferenceId>("no", false);
    }

    #[test]
    fn slug_is_always_a_valid_name() {
        for text in ["Qwen2.5-Coder", "", "ümlaut x", &"x".repeat(200)] {
            let slug = PoolName::slug(text);
            assert_eq!(slug.as_str().parse::<PoolName>(), Ok(slug.clone()));
        }
    }
}
