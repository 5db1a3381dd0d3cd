//! Servers that were there before us.

use super::{
    DATABASE_URL, HYDRA_ADMIN_URL, HYDRA_PUBLIC_URL, MTLS_CA_ROOT_FILE, MTLS_CA_URL, REDIS_URL,
    ServicesError,
};

/// The servers that were there before us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The Postgres to use instead of one of our own.
    pub database_url: Option<String>,
    /// The Redis to use instead of one of our own.
    pub redis_url: Option<String>,
    /// The Hydra to use instead of one of our own: where administrators reach it.
    pub hydra_admin_url: Option<String>,
    /// Where everybody reaches that Hydra.
    pub hydra_public_url: Option<String>,
    /// The step-ca to use instead of one of our own; it has to trust that Hydra.
    pub ca_url: Option<String>,
    /// The file with the root certificate of that step-ca.
    pub ca_root_file: Option<String>,
}

impl Given {
    /// What the environment names; an empty variable names nothing.
    #[must_use]
    pub fn from_env() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a tool for tests, which has no Settings")]
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            database_url: read(DATABASE_URL),
            redis_url: read(REDIS_URL),
            hydra_admin_url: read(HYDRA_ADMIN_URL),
            hydra_public_url: read(HYDRA_PUBLIC_URL),
            ca_url: read(MTLS_CA_URL),
            ca_root_file: read(MTLS_CA_ROOT_FILE),
        }
    }

    /// Where that Hydra is, for administrators and for everybody.
    ///
    /// # Errors
    ///
    /// One of the two is missing.
    pub fn hydra(&self) -> Result<Option<(String, String)>, ServicesError> {
        self.check()?;
        Ok(self.hydra_admin_url.clone().zip(self.hydra_public_url.clone()))
    }

    fn all(&self) -> [(&'static str, Option<&String>); 6] {
        [
            (DATABASE_URL, self.database_url.as_ref()),
            (REDIS_URL, self.redis_url.as_ref()),
            (HYDRA_ADMIN_URL, self.hydra_admin_url.as_ref()),
            (HYDRA_PUBLIC_URL, self.hydra_public_url.as_ref()),
            (MTLS_CA_URL, self.ca_url.as_ref()),
            (MTLS_CA_ROOT_FILE, self.ca_root_file.as_ref()),
        ]
    }

    /// The environment that names them.
    pub(super) fn vars(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.all().into_iter().filter_map(|(name, value)| Some((name, value?.clone())))
    }

    /// Fails if one of two is there that are of no use alone.
    pub(super) fn check(&self) -> Result<(), ServicesError> {
        let [_, _, admin, public, ca, root] = self.all();
        for (one, other) in [(admin, public), (ca, root)] {
            if let ((set, Some(_)), (missing, None)) | ((missing, None), (set, Some(_))) =
                (one, other)
            {
                return Err(ServicesError::HalfGiven { set, missing });
            }
        }
        Ok(())
    }
}
