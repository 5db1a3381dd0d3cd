use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bindu_did::Did;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use url::{Host, Url};

use crate::ca::{CaTokens, StepCa, to_pem};
use crate::csr::CertificateRequest;
use crate::own::{Own, foreign};
use crate::roots::Roots;
use crate::store::{Files, Found, certified};
use crate::trust::{Trust, public_roots, read_certificates};
use crate::{Config, Fingerprint, MtlsError, RootSource, schedule};

/// Our certificate and key, and the roots we believe, as they are now.
///
/// Clones share them. An [`Acceptor`](crate::Acceptor) and a
/// [`Connector`](crate::Connector) look here for each new connection, so a renewed
/// certificate is used at once, and open connections go on with the one they began with.
///
/// [`keep`](Self::keep) renews; spawn it beside the server.
#[derive(Clone)]
pub struct Certificates(Arc<Shared>);

struct Shared {
    config: Config,
    files: Files,
    ca: Option<StepCa>,
    public: Option<Arc<RootCertStore>>,
    current: RwLock<Arc<Current>>,
    changed: watch::Sender<u64>,
    renewals: AtomicU64,
    failures: AtomicU64,
    /// One renewal or reload at a time.
    renewing: Mutex<()>,
}

/// What is in use. Replaced as a whole.
pub(crate) struct Current {
    pub(crate) own: Own,
    pub(crate) trust: Arc<Trust>,
    roots: Roots,
    /// Counts changes of anything here.
    pub(crate) generation: u64,
}

impl Certificates {
    /// Takes the certificate from the files if it has long enough to live, else has one
    /// issued by step-ca and writes it there.
    ///
    /// A certificate that should be renewed but is still valid is used if step-ca cannot
    /// be reached; [`keep`](Self::keep) then tries again. There is no way to start
    /// without a certificate.
    ///
    /// # Errors
    ///
    /// See [`MtlsError`]; after [`Config::attempts`] attempts if another may help.
    pub async fn open(config: Config, tokens: impl CaTokens) -> Result<Self, MtlsError> {
        check(&config)?;
        let files = Files::new(&config);
        let ca = StepCa { tokens: Box::new(tokens) };
        let public = public_of(&config).await?;
        let rules = Arc::new(config.peers.clone());
        let (roots, trust) = {
            let roots = first_roots(&config, &files, &ca).await?;
            let trust = Trust::new(&roots.all(), public.clone(), rules)?;
            write_bundle(&files, &roots).await?;
            (roots, Arc::new(trust))
        };
        let now = SystemTime::now();
        let found = blocking({
            let files = files.clone();
            move || files.load()
        })
        .await?;
        let kept = match found {
            Found::Pair(pair) => Own::of(pair, &config, &trust, now, None),
            Found::Unusable(reason) => Err(reason),
            Found::Nothing => Err("there is none yet".into()),
        };
        let (own, failures) = match kept {
            Ok(own) if own.remaining(now) > schedule::window(own.life, config.renew_before) => {
                tracing::info!(did = %config.did, fingerprint = %own.leaf.fingerprint, "using the mTLS certificate on disk");
                (own, 0)
            }
            kept => {
                match &kept {
                    Ok(_) => tracing::info!("the mTLS certificate on disk is about to end"),
                    Err(reason) => tracing::info!(%reason, "no mTLS certificate on disk to use"),
                }
                tracing::info!("Bootstrapping mTLS cert for {} via step-ca…", config.did);
                match (first_certificate(&config, &files, &ca, &roots, &trust).await, kept) {
                    (Ok(own), _) => (own, 0),
                    (Err(error), Ok(own)) if error.is_retryable() => {
                        tracing::warn!(%error, "using an mTLS certificate that should be renewed");
                        (own, 1)
                    }
                    (Err(error), _) => return Err(error),
                }
            }
        };
        let current = Current { own, trust, roots, generation: 0 };
        Ok(Self::new(config, files, Some(ca), public, current, failures))
    }

    /// Takes certificate, key and bundle from the files, which somebody else keeps:
    /// no step-ca. The files may change; see [`reload`](Self::reload).
    ///
    /// A certificate that names a DID must name ours and end in the bundle's roots. One
    /// that names none, such as a public certificate for a host name, is used as it is.
    ///
    /// # Errors
    ///
    /// [`MtlsError::Unusable`], [`MtlsError::Roots`] or [`MtlsError::File`].
    pub async fn from_files(config: Config) -> Result<Self, MtlsError> {
        let files = Files::new(&config);
        let public = public_of(&config).await?;
        let loaded = blocking({
            let (config, files, public) = (config.clone(), files.clone(), public.clone());
            move || {
                let pem = files.bundle()?.ok_or_else(|| MtlsError::Roots {
                    reason: format!("{} is missing", config.path(&config.bundle_file).display()),
                    source: None,
                })?;
                let roots = Roots::new(read_certificates(pem.as_bytes())?);
                let trust = Trust::new(&roots.all(), public, Arc::new(config.peers.clone()))?;
                let own = foreign(&config, &files, &trust)?;
                Ok((own, roots, trust))
            }
        });
        let (own, roots, trust) = loaded.await?;
        let trust = Arc::new(trust);
        let current = Current { own, trust, roots, generation: 0 };
        Ok(Self::new(config, files, None, public, current, 0))
    }

    fn new(
        config: Config,
        files: Files,
        ca: Option<StepCa>,
        public: Option<Arc<RootCertStore>>,
        current: Current,
        failures: u64,
    ) -> Self {
        Self(Arc::new(Shared {
            config,
            files,
            ca,
            public,
            current: RwLock::new(Arc::new(current)),
            changed: watch::Sender::new(0),
            renewals: AtomicU64::new(0),
            failures: AtomicU64::new(failures),
            renewing: Mutex::default(),
        }))
    }

    /// The DID that the certificate is for.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.0.config.did
    }

    /// The SHA-256 of our certificate, which changes with each renewal.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.current().own.leaf.fingerprint
    }

    /// When our certificate ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.current().own.leaf.not_after
    }

    /// How often the certificate was renewed since [`open`](Self::open).
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.0.renewals.load(Ordering::Relaxed)
    }

    /// How often that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Tells of each change of certificate or roots. The number only counts them.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The roots and rules by which peers are believed, as they are now.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.current().trust)
    }

    pub(crate) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the certificate fresh, for ever: renews it at two thirds of its life, tries
    /// again after failures, and follows changes that others make to the files.
    ///
    /// May be dropped at any time. Only one should run for each [`Certificates`].
    pub async fn keep(&self) {
        let mut failures = 0;
        let mut renew_at = self.next_renewal();
        let mut generation = self.current().generation;
        loop {
            let now = SystemTime::now();
            let wait = renew_at.map(|at| at.duration_since(now).unwrap_or_default());
            // The clock of the machine may be set, or stand still while it sleeps.
            let look = self.0.config.check_files_every.max(Duration::from_millis(10));
            sleep(wait.map_or(look, |wait| wait.min(look))).await;

            if let Err(error) = self.reload().await {
                tracing::warn!(%error, "keeping the mTLS certificate in use");
            }
            let now = SystemTime::now();
            if renew_at.is_some_and(|at| at <= now) && self.current().generation == generation {
                match self.renew().await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        failures += 1;
                        let life = self.current().own.life;
                        let pause = schedule::back_off(failures, life, fastrand::f64());
                        let remaining = self.current().own.remaining(now);
                        tracing::warn!(
                            %error, source = error_source(&error), ?pause, ?remaining,
                            "renewing the mTLS certificate failed"
                        );
                        renew_at = Some(now + pause);
                    }
                }
            }
            if self.current().generation != generation {
                generation = self.current().generation;
                failures = 0;
                renew_at = self.next_renewal();
            }
        }
    }

    fn next_renewal(&self) -> Option<SystemTime> {
        self.0.ca.as_ref()?;
        let current = self.current();
        let Own { leaf, life, .. } = &current.own;
        let before = self.0.config.renew_before;
        Some(schedule::renewal(leaf.not_after, *life, before, fastrand::f64()))
    }

    /// Has a new certificate issued now, and takes it into use. The roots are asked for
    /// anew; those that are no longer given stay trusted for as long as certificates of
    /// theirs may live.
    ///
    /// # Errors
    ///
    /// See [`MtlsError`]. The certificate in use then stays. Without step-ca:
    /// [`MtlsError::Config`].
    pub async fn renew(&self) -> Result<(), MtlsError> {
        let renewed = self.try_renew().await;
        let counter = if renewed.is_ok() { &self.0.renewals } else { &self.0.failures };
        counter.fetch_add(1, Ordering::Relaxed);
        renewed
    }

    async fn try_renew(&self) -> Result<(), MtlsError> {
        let Shared { config, files, ca, .. } = &*self.0;
        let ca = ca.as_ref().ok_or_else(|| {
            MtlsError::Config("a certificate from files is renewed by whoever keeps them".into())
        })?;
        let _one = self.0.renewing.lock().await;
        let current = self.current();
        let mut roots = current.roots.clone();
        match ca.roots(config, Some(&to_pem(&roots.all()))).await {
            Ok(now_given) => roots.replace(now_given, SystemTime::now(), keep_roots_for(config)),
            Err(error) => tracing::warn!(%error, "keeping the root certificates in use"),
        }
        let trust = self.trust_for(&current, &roots)?;
        let own = issue(config, files, ca, &roots, &trust).await?;
        if !Arc::ptr_eq(&trust, &current.trust) {
            write_bundle(files, &roots).await?;
        }
        self.take(&current, own, trust, roots);
        Ok(())
    }

    /// Looks at the files, and takes into use what others have changed there. Says
    /// whether anything was. Files that are missing or do not fit each other change
    /// nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the files. What is in use stays.
    pub async fn reload(&self) -> Result<bool, MtlsError> {
        let _one = self.0.renewing.lock().await;
        let current = self.current();
        let this = self.clone();
        let seen = Arc::clone(&current);
        let (own, trust, roots) = blocking(move || this.read(&seen)).await?;
        let same = own.leaf.fingerprint == current.own.leaf.fingerprint
            && Arc::ptr_eq(&trust, &current.trust);
        if !same {
            self.take(&current, own, trust, roots);
        }
        Ok(!same)
    }

    /// What the files hold, as far as it differs from what is in use.
    fn read(&self, current: &Current) -> Result<(Own, Arc<Trust>, Roots), MtlsError> {
        let Shared { config, files, .. } = &*self.0;
        let now = SystemTime::now();
        let mut roots = current.roots.clone();
        if let Some(pem) = files.bundle()? {
            let given = read_certificates(pem.as_bytes())?;
            if given != roots.all() {
                roots.replace(given, now, keep_roots_for(config));
            }
        }
        let trust = self.trust_for(current, &roots)?;
        let own = match files.load_foreign()? {
            Found::Pair(pair) if pair.cert != current.own.certified.cert => {
                if self.0.ca.is_some() {
                    let own = Own::of(pair, config, &trust, now, None);
                    own.map_err(|reason| MtlsError::Unusable { path: files.cert.clone(), reason })?
                } else {
                    foreign(config, files, &trust)?
                }
            }
            // Somebody is in the middle of replacing them, or wants a fresh start.
            _ => current.own.clone(),
        };
        Ok((own, trust, roots))
    }

    fn trust_for(&self, current: &Current, roots: &Roots) -> Result<Arc<Trust>, MtlsError> {
        if roots.all() == current.roots.all() {
            return Ok(Arc::clone(&current.trust));
        }
        let rules = Arc::new(self.0.config.peers.clone());
        Ok(Arc::new(Trust::new(&roots.all(), self.0.public.clone(), rules)?))
    }

    fn take(&self, before: &Current, own: Own, trust: Arc<Trust>, roots: Roots) {
        let generation = before.generation + 1;
        tracing::info!(
            did = %self.0.config.did,
            fingerprint = %own.leaf.fingerprint,
            serial = own.leaf.serial,
            valid_for = ?own.remaining(SystemTime::now()),
            "took a new mTLS certificate into use"
        );
        let next = Arc::new(Current { own, trust, roots, generation });
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.0.changed.send_replace(generation);
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("did", self.did())
            .field("fingerprint", &self.fingerprint())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

fn check(config: &Config) -> Result<(), MtlsError> {
    if config.cert_ttl < Duration::from_secs(1) {
        return Err(MtlsError::Config("a certificate must live a second at least".into()));
    }
    let roots_url = match &config.roots {
        RootSource::Url(url) => Some(url),
        RootSource::File(_) | RootSource::Pinned(_) => None,
    };
    for url in iter::once(&config.ca_url).chain(roots_url) {
        if !(url.scheme() == "https" || url.scheme() == "http" && is_loopback(url)) {
            return Err(MtlsError::Config(format!("{url} must be https, or http on this machine")));
        }
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Reading the system's store takes a moment, so it is done once and beside the runtime.
async fn public_of(config: &Config) -> Result<Option<Arc<RootCertStore>>, MtlsError> {
    if config.peers.public_roots { blocking(|| Ok(public_roots())).await } else { Ok(None) }
}

/// Roots on disk, if they are as good as what the source would give; else the source's.
async fn first_roots(config: &Config, files: &Files, ca: &StepCa) -> Result<Roots, MtlsError> {
    let known = blocking({
        let files = files.clone();
        move || files.bundle()
    })
    .await?
    .and_then(|pem| read_certificates(pem.as_bytes()).ok());
    let enough = |known: &[CertificateDer<'_>]| match &config.roots {
        RootSource::File(_) => false,
        RootSource::Url(_) => true,
        RootSource::Pinned(pin) => known.iter().any(|root| Fingerprint::of(root) == *pin),
    };
    match known {
        Some(known) if enough(&known) => Ok(Roots::new(known)),
        _ => attempts(config, || ca.roots(config, None)).await.map(Roots::new),
    }
}

async fn first_certificate(
    config: &Config,
    files: &Files,
    ca: &StepCa,
    roots: &Roots,
    trust: &Trust,
) -> Result<Own, MtlsError> {
    attempts(config, || issue(config, files, ca, roots, trust)).await
}

/// Tries what may succeed later several times.
async fn attempts<T, F>(config: &Config, mut attempt: impl FnMut() -> F) -> Result<T, MtlsError>
where
    F: Future<Output = Result<T, MtlsError>>,
{
    let mut failed = 0;
    loop {
        match attempt().await {
            Err(error) if error.is_retryable() && failed + 1 < config.attempts => {
                failed += 1;
                let most = Duration::from_secs(1).saturating_mul(1 << failed.min(4));
                let pause = most.min(config.timeout).mul_f64(0.5 + 0.5 * fastrand::f64());
                tracing::warn!(%error, source = error_source(&error), ?pause, "trying again");
                sleep(pause).await;
            }
            outcome => return outcome,
        }
    }
}

/// A new key, certified by step-ca and written to the files. The key stays in memory
/// until its certificate is here and found good.
async fn issue(
    config: &Config,
    files: &Files,
    ca: &StepCa,
    roots: &Roots,
    trust: &Trust,
) -> Result<Own, MtlsError> {
    let request = CertificateRequest::new(&config.did, &config.hosts)?;
    let asked = SystemTime::now();
    let chain = ca.sign(config, &to_pem(&roots.all()), &request.csr_pem).await?;
    let chain = to_pem(&chain);
    let pair = certified(&chain, &request.key_pem).map_err(MtlsError::Issued)?;
    let own = Own::of(pair, config, trust, SystemTime::now(), Some(asked));
    let own = own.map_err(MtlsError::Issued)?;
    let files = files.clone();
    blocking(move || {
        files.write_csr(&request.csr_pem)?;
        files.write(&chain, &request.key_pem)
    })
    .await?;
    Ok(own)
}

async fn write_bundle(files: &Files, roots: &Roots) -> Result<(), MtlsError> {
    let (files, pem) = (files.clone(), to_pem(&roots.all()));
    blocking(move || files.write_bundle(&pem)).await
}

/// How long a root that is no longer given stays trusted: others may have certificates
/// that live as long as ours, or a day.
fn keep_roots_for(config: &Config) -> Duration {
    config.cert_ttl.max(Duration::from_hours(24))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MtlsError> + Send + 'static,
) -> Result<T, MtlsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(MtlsError::Config(format!("the runtime is ending: {error}"))),
    }
}

fn error_source(error: &MtlsError) -> Option<String> {
    use std::error::Error as _;
    error.source().map(ToString::to_string)
}
