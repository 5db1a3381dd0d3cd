use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

/// The roots that are given, and those that no longer are but have certificates alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    given: Vec<CertificateDer<'static>>,
    retired: Vec<(CertificateDer<'static>, SystemTime)>,
}

impl Roots {
    pub(crate) fn new(given: Vec<CertificateDer<'static>>) -> Self {
        Self { given, retired: Vec::new() }
    }

    /// All that are trusted.
    pub(crate) fn all(&self) -> Vec<CertificateDer<'static>> {
        let retired = self.retired.iter().map(|(root, _)| root);
        self.given.iter().chain(retired).cloned().collect()
    }

    /// Trusts `given` from now on, and what was trusted so far for another while.
    pub(crate) fn replace(
        &mut self,
        given: Vec<CertificateDer<'static>>,
        now: SystemTime,
        keep_for: Duration,
    ) {
        let until = now + keep_for;
        let gone = std::mem::take(&mut self.given).into_iter().map(|root| (root, until));
        self.retired.extend(gone);
        self.retired.retain(|(root, until)| *until > now && !given.contains(root));
        self.given = given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_gone_is_trusted_for_another_while() {
        let root = |n: u8| CertificateDer::from(vec![n]);
        let hour = Duration::from_hours(1);
        let start = SystemTime::UNIX_EPOCH;
        let mut roots = Roots::new(vec![root(1)]);

        roots.replace(vec![root(2)], start, hour);
        assert_eq!(roots.all(), [root(2), root(1)]);
        roots.replace(vec![root(2)], start + hour / 2, hour);
        assert_eq!(roots.all(), [root(2), root(1)]);
        roots.replace(vec![root(2)], start + hour, hour);
        assert_eq!(roots.all(), [root(2)]);

        // One that comes back is no longer retired.
        roots.replace(vec![root(1)], start, hour);
        roots.replace(vec![root(1), root(2)], start, hour);
        assert_eq!(roots.all(), [root(1), root(2)]);
    }
}
