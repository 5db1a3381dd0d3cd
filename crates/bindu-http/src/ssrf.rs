//! Which addresses a program may be made to call (server-side request forgery).
//!
//! A webhook's URL comes from a stranger. [`AddressRules::check_url`] looks at the URL
//! when it is registered; as the [`AddressPolicy`] of a [`Client`](crate::client::Client)
//! the same rules look at every address the name resolves to, each time, and the client
//! connects to exactly the address that was checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// Decides which addresses a [`Client`](crate::client::Client) may connect to.
pub trait AddressPolicy: fmt::Debug + Send + Sync + 'static {
    /// Judges one address of `host`. IPv4-mapped IPv6 addresses come as IPv4.
    ///
    /// # Errors
    ///
    /// Why the client must not connect there.
    fn check(&self, host: &str, address: IpAddr) -> Result<(), AddressError>;
}

/// Why a URL or an address is refused. The messages tell what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Neither http nor https.
    #[error("the scheme {0:?} is not supported, use http or https")]
    Scheme(String),
    /// No host.
    #[error("the URL has no host, write https://host/path")]
    NoHost,
    /// A user name or a password.
    #[error("the URL holds credentials, send them in a header instead")]
    UserInfo,
    /// A fragment, which is never sent.
    #[error("the URL has a fragment, remove it from the # on")]
    Fragment,
    /// There is a list of allowed hosts, and this is not on it.
    #[error("the host {0:?} is not on the list of allowed hosts")]
    HostNotAllowed(String),
    /// The address is one that nobody may be sent to.
    #[error("{host:?} resolves to {address}, which is {why} and not an allowed destination")]
    Denied {
        /// The name that was resolved, or the address itself.
        host: String,
        /// The address, as resolved.
        address: IpAddr,
        /// What the address is: "a private address".
        why: &'static str,
    },
}

/// The usual rules: metadata services and other addresses of special meaning are
/// refused; private ones are allowed unless [`allow_private`](Self::allow_private) is off.
///
/// IPv4 addresses inside IPv6 ones (mapped, compatible, NAT64 of RFC 6052, 6to4 of
/// RFC 3056) are judged as the IPv4 address they lead to.
///
/// ```
/// use bindu_http::ssrf::AddressRules;
///
/// let rules = AddressRules::default();
/// assert!(rules.check_ip("127.0.0.1".parse()?).is_ok());
/// assert!(rules.check_ip("169.254.169.254".parse()?).is_err());
/// assert!(rules.check_ip("64:ff9b::a9fe:a9fe".parse()?).is_err());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRules {
    /// Whether loopback, private (RFC 1918, RFC 4193) and carrier (RFC 6598) addresses
    /// may be called. Default `true`: agents of one machine call each other.
    pub allow_private: bool,
    /// Networks that are refused. Default [`default_deny`](Self::default_deny).
    /// Multicast, broadcast and unspecified addresses are refused in any case.
    pub deny: Vec<IpNet>,
    /// If not empty, only these hosts may be called, compared without regard to case.
    /// Their addresses are still checked. Default empty.
    pub allowed_hosts: Vec<String>,
}

impl Default for AddressRules {
    fn default() -> Self {
        Self { allow_private: true, deny: Self::default_deny(), allowed_hosts: Vec::new() }
    }
}

impl AddressRules {
    /// Link-local networks, the addresses of cloud metadata services, and "this network".
    #[must_use]
    pub fn default_deny() -> Vec<IpNet> {
        let v4 = |a, b, c, d, prefix| IpNet::new_assert(Ipv4Addr::new(a, b, c, d).into(), prefix);
        let v6 = |first, second, last, prefix| {
            IpNet::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last).into(), prefix)
        };
        vec![
            v4(0, 0, 0, 0, 8),
            v4(100, 100, 100, 200, 32),
            v4(169, 254, 0, 0, 16),
            v4(192, 0, 0, 192, 32),
            v6(0xfd00, 0xec2, 0x254, 128),
            v6(0xfe80, 0, 0, 10),
            // NAT64 of local use (RFC 8215): where the IPv4 address sits is not known.
            IpNet::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0).into(), 48),
        ]
    }

    /// Checks all that can be told from a URL without resolving its host.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL; see [`AddressError`].
    pub fn check_url(&self, url: &Url) -> Result<(), AddressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        let host = url.host().ok_or(AddressError::NoHost)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(AddressError::Fragment);
        }
        match host {
            Host::Domain(name) => self.check_host(name),
            Host::Ipv4(address) => self.check(&address.to_string(), address.into()),
            Host::Ipv6(address) => self.check(&address.to_string(), address.into()),
        }
    }

    /// Checks an address that no name led to.
    ///
    /// # Errors
    ///
    /// [`AddressError::Denied`].
    pub fn check_ip(&self, address: IpAddr) -> Result<(), AddressError> {
        let denied = |why| AddressError::Denied { host: address.to_string(), address, why };
        // The address as it is first: a network of the list may name the outer form.
        let outer = address.to_canonical();
        self.judge(outer).map_err(denied)?;
        if let IpAddr::V6(v6) = outer
            && let Some(inner) = embedded(v6)
        {
            self.judge(inner.into()).map_err(denied)?;
        }
        Ok(())
    }

    fn check_host(&self, host: &str) -> Result<(), AddressError> {
        let plain = |name: &str| name.trim_matches(['[', ']']).trim_end_matches('.').to_lowercase();
        if self.allowed_hosts.is_empty()
            || self.allowed_hosts.iter().any(|allowed| plain(allowed) == plain(host))
        {
            return Ok(());
        }
        Err(AddressError::HostNotAllowed(host.to_owned()))
    }

    fn judge(&self, address: IpAddr) -> Result<(), &'static str> {
        if address.is_unspecified() {
            return Err("the unspecified address");
        }
        if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err("a multicast or broadcast address");
        }
        if self.deny.iter().any(|network| network.contains(&address)) {
            return Err("a link-local, metadata or otherwise denied address");
        }
        if !self.allow_private && is_private(address) {
            return Err("a private address");
        }
        Ok(())
    }
}

impl AddressPolicy for AddressRules {
    fn check(&self, host: &str, address: IpAddr) -> Result<(), AddressError> {
        self.check_host(host)?;
        self.check_ip(address).map_err(|error| match error {
            AddressError::Denied { address, why, .. } => {
                AddressError::Denied { host: host.to_owned(), address, why }
            }
            other => other,
        })
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let carrier = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || carrier
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The IPv4 address that an IPv6 address leads to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if !address.is_loopback() => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rules: &AddressRules, address: &str) -> bool {
        rules.check_ip(address.parse().unwrap()).is_err()
    }

    #[test]
    fn addresses_of_special_meaning_are_refused_in_every_form() {
        let rules = AddressRules::default();
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert!(refused(&rules, address), "{address}");
        }
    }

    #[test]
    fn public_and_by_default_private_addresses_are_allowed() {
        let rules = AddressRules::default();
        let closed = AddressRules { allow_private: false, ..AddressRules::default() };
        for address in ["1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "2002:101:101::1"] {
            assert!(!refused(&rules, address), "{address}");
            assert!(!refused(&closed, address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!refused(&rules, address), "{address}");
            assert!(refused(&closed, address), "{address}");
        }
    }

    #[test]
    fn urls_are_refused_with_what_to_change() {
        let rules = AddressRules::default();
        let check = |url: &str| rules.check_url(&url.parse().unwrap());
        assert_eq!(check("http://localhost:3773/hook?x=1"), Ok(()));
        assert_eq!(check("ftp://host/"), Err(AddressError::Scheme("ftp".into())));
        assert_eq!(check("https://user@host/"), Err(AddressError::UserInfo));
        assert_eq!(check("https://:secret@host/"), Err(AddressError::UserInfo));
        assert_eq!(check("https://host/#part"), Err(AddressError::Fragment));
        // Numbers and IPv6 forms of 169.254.169.254.
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:a9fe:a9fe]"] {
            let error = check(&format!("http://{host}/")).unwrap_err();
            assert!(matches!(error, AddressError::Denied { .. }), "{host}: {error}");
        }
    }

    #[test]
    fn a_list_of_hosts_is_the_only_door_and_opens_nothing_else() {
        let rules = AddressRules {
            allowed_hosts: vec!["Hooks.Example.com".into(), "169.254.169.254".into()],
            ..AddressRules::default()
        };
        let public = "1.1.1.1".parse().unwrap();
        assert_eq!(rules.check("hooks.example.com.", public), Ok(()));
        assert!(rules.check("hooks.example.com", "fe80::1".parse().unwrap()).is_err());
        assert!(rules.check("evil-hooks.example.com", public).is_err());
        assert!(rules.check_url(&"http://169.254.169.254/".parse().unwrap()).is_err());
        assert!(rules.check_url(&"http://other.example/".parse().unwrap()).is_err());
    }
}
