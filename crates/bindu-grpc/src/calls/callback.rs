//! Where an SDK serves its handler.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The address at which an SDK process serves its handler.
///
/// Written `host:port`, `[v6]:port`, or either after `grpcs://` for TLS. The port is 1 to 65535.
/// Names are compared without regard to case. Nothing is looked up until a call is made.
///
/// ```
/// use bindu_grpc::calls::Callback;
///
/// let callback: Callback = "localhost:50052".parse()?;
/// assert!(callback.is_loopback() && !callback.is_tls());
/// assert_eq!(callback.to_string(), "localhost:50052");
/// assert!("localhost".parse::<Callback>().is_err());
/// # Ok::<(), bindu_grpc::calls::InvalidCallback>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Callback {
    tls: bool,
    host: Box<str>,
    port: u16,
}

/// The text is not the address of a handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a callback address: expected host:port, [IPv6]:port or grpcs://host:port")]
pub struct InvalidCallback(String);

/// The longest name there is in DNS.
const MAX_HOST: usize = 253;
/// How much of a wrong value is repeated to whoever sent it.
const SHOWN: usize = 200;

impl Callback {
    /// Whether the handler is served under TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host: a name in lower case, or an address, an IPv6 one without its brackets.
    #[must_use]
    pub const fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the address cannot leave this machine: `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => &*self.host == "localhost",
        }
    }

    /// `host:port` as it stands in a URL.
    pub(super) fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "grpcs://" } else { "" })?;
        f.write_str(&self.authority())
    }
}

impl FromStr for Callback {
    type Err = InvalidCallback;

    fn from_str(text: &str) -> Result<Self, InvalidCallback> {
        parse(text).ok_or_else(|| InvalidCallback(text.chars().take(SHOWN).collect()))
    }
}

fn parse(text: &str) -> Option<Callback> {
    let (tls, rest) = match text.strip_prefix("grpcs://") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (host, port) = rest.rsplit_once(':')?;
    // The standard parser would take a sign.
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
        None if is_name(host) => host.to_ascii_lowercase(),
        None => return None,
    };
    Some(Callback { tls, host: host.into(), port })
}

/// Whether this may be a name or an IPv4 address. Underscores are no part of DNS, but names of
/// containers have them.
fn is_name(host: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=MAX_HOST).contains(&host.len())
        && host.bytes().all(is_good)
        && !host.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_are_read_and_written_alike() {
        for (text, host, port, tls) in [
            ("localhost:1", "localhost", 1, false),
            ("127.0.0.1:65535", "127.0.0.1", 65535, false),
            ("[::1]:50052", "::1", 50052, false),
            ("grpcs://agent_1.example.com:443", "agent_1.example.com", 443, true),
            ("grpcs://[2001:db8::1]:443", "2001:db8::1", 443, true),
        ] {
            let callback: Callback = text.parse().unwrap();
            assert_eq!((callback.host(), callback.port(), callback.is_tls()), (host, port, tls));
            assert_eq!(callback.to_string(), text);
        }
        let spellings = ["LOCALHOST:080", "localhost:80"].map(str::parse::<Callback>);
        assert_eq!(spellings[0], spellings[1]);
        assert_eq!("[0:0::1]:80".parse::<Callback>(), "[::1]:80".parse());
    }

    #[test]
    fn other_texts_are_refused_and_named() {
        for text in [
            "",
            "localhost",
            "localhost:",
            ":50052",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            "localhost:-1",
            "localhost: 80",
            "local host:80",
            "::1:80",
            "[::1]80",
            "[::1",
            "[localhost]:80",
            "[fe80::1%eth0]:80",
            "http://localhost:80",
            "grpc://localhost:80",
            "grpcs://",
            "GRPCS://localhost:80",
            "user@localhost:80",
            "localhost:80/path",
            "localhost:80\n",
            ".localhost:80",
            "-x:80",
            "unix:/tmp/socket",
            "höst:80",
        ] {
            let error = text.parse::<Callback>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is not")), "{error}");
        }
        let long = format!("{}:80", "a".repeat(254));
        assert!(long.parse::<Callback>().unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for (text, loopback) in [
            ("localhost:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("grpcs://localhost:1", true),
            ("0.0.0.0:1", false),
            ("localhost.example.com:1", false),
            ("10.0.0.1:1", false),
        ] {
            assert_eq!(text.parse::<Callback>().unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
