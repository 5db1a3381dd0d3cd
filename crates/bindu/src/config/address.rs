//! Where an agent listens, and what its card advertises.
//!
//! One URL in the configuration says both, for an agent on a developer's machine. Behind a
//! proxy they differ: `BINDU_DEPLOYMENT_URL` is what the card says, `BINDU_HOST` and
//! `BINDU_PORT` are where the agent listens.

use std::net::{IpAddr, UdpSocket};

use url::{Host, Url};

use super::Problem;
use crate::settings::Settings;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A host name or an IP address, an IPv6 one without brackets.
    pub host: String,
    /// The port; 0 for any free one.
    pub port: u16,
}

/// Reads the URL of an agent or a service.
pub(super) fn check_url(text: &str) -> Result<Url, String> {
    const ALLOWED: &str = "must be a URL such as http://localhost:3773";
    // The text is not shown where it does not parse: it may hold a password.
    let url = Url::parse(text.trim()).map_err(|error| match error {
        url::ParseError::InvalidPort => {
            "has a port that is not a number from 0 to 65535".to_owned()
        }
        url::ParseError::RelativeUrlWithoutBase => {
            format!("has no scheme, {ALLOWED}, with http:// or https://")
        }
        error => format!("is not a URL ({error}), {ALLOWED}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {:?}, use http or https", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("has no host, {ALLOWED}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or a password, which must not stand in a URL".to_owned());
    }
    Ok(url)
}

/// Works out where to listen and what to advertise, from `deployment.url` and the settings.
/// `is_ours` tells whether an address is one of this machine.
pub(super) fn resolve(
    configured: &str,
    settings: &Settings,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Result<(Listen, String), Problem> {
    let url = check_url(configured).map_err(|it| Problem::new("'deployment.url'", it))?;
    let given = &settings.deployment;
    let names_us = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => is_local(ip.into(), &is_ours),
        Some(Host::Ipv6(ip)) => is_local(ip.into(), &is_ours),
        None => false,
    };

    let host = match (&given.host, url.host()) {
        (Some(host), _) => bare(host),
        (None, Some(host)) if names_us && given.public_url.is_none() => bare(&host.to_string()),
        _ => bare(&settings.network.default_host),
    };
    let port = given.port.or(url.port()).unwrap_or(settings.network.default_port);
    let listen = Listen { host, port };

    let public = match &given.public_url {
        Some(public) => {
            check_url(public).map_err(|it| Problem::new("BINDU_DEPLOYMENT_URL", it))?;
            public.trim().to_owned()
        }
        None => advertise(configured, url, names_us, settings, &listen),
    };
    Ok((listen, public))
}

/// What the card says without `BINDU_DEPLOYMENT_URL`. A URL that names this machine moves
/// along with the address we listen on. One that names another (a proxy) stays, but for a
/// port that it states and the environment states differently.
fn advertise(
    configured: &str,
    mut url: Url,
    names_us: bool,
    settings: &Settings,
    listen: &Listen,
) -> String {
    let given = &settings.deployment;
    let before = url.clone();
    if names_us && given.host.is_some() {
        let ip: Option<IpAddr> = listen.host.parse().ok();
        let host = match ip {
            Some(ip) if ip.is_unspecified() => "localhost".to_owned(),
            Some(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => listen.host.clone(),
        };
        // A host that is none fails when we bind to it, with a better message.
        let _ = url.set_host(Some(&host));
    } else if url.host_str().is_some_and(|host| matches!(host, "0.0.0.0" | "[::]")) {
        let _ = url.set_host(Some("localhost"));
    }
    let moves = given.port.is_some() && (names_us || url.port().is_some());
    let unstated = names_us && url.port().is_none();
    if moves || unstated {
        let _ = url.set_port(Some(listen.port));
    }
    if url == before { configured.to_owned() } else { text(&url, configured) }
}

/// The URL, without the slash that the parser adds.
fn text(url: &Url, written: &str) -> String {
    let text = url.to_string();
    match text.strip_suffix('/') {
        Some(bare) if !written.trim().ends_with('/') => bare.to_owned(),
        _ => text,
    }
}

/// `public_url` with the port that was bound, where the URL says 0.
pub(super) fn with_port(public_url: &str, bound: u16) -> String {
    match Url::parse(public_url) {
        Ok(mut url) if url.port() == Some(0) => {
            let _ = url.set_port(Some(bound));
            text(&url, public_url)
        }
        _ => public_url.to_owned(),
    }
}

/// The same address with TLS.
pub(super) fn with_tls(public_url: &str) -> Option<String> {
    public_url.strip_prefix("http://").map(|rest| format!("https://{rest}"))
}

fn is_local(ip: IpAddr, is_ours: &impl Fn(IpAddr) -> bool) -> bool {
    ip.is_loopback() || ip.is_unspecified() || is_ours(ip)
}

/// Whether the address belongs to this machine: only then a socket can be bound to it.
pub(super) fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Without the brackets that an IPv6 address has in a URL.
fn bare(host: &str) -> String {
    let host = host.trim();
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str, variables: &[(&str, &str)]) -> String {
        let settings = Settings::from_vars(variables.iter().copied()).expect("valid settings");
        let ours = |ip: IpAddr| ip == IpAddr::from([10, 0, 0, 7]);
        match resolve(url, &settings, ours) {
            Ok((listen, public)) => format!("{} {} {public}", listen.host, listen.port),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn listening_and_advertising_are_two_things() {
        let local = "http://localhost:3773";
        let proxy = "https://agent.example.com/a";
        for (url, variables, expected) in [
            (local, &[][..], "localhost 3773 http://localhost:3773"),
            ("http://localhost", &[], "localhost 3773 http://localhost:3773"),
            ("http://localhost:8080/", &[], "localhost 8080 http://localhost:8080/"),
            ("http://10.0.0.7:80", &[], "10.0.0.7 3773 http://10.0.0.7:3773"),
            ("http://10.0.0.8:8030", &[], "localhost 8030 http://10.0.0.8:8030"),
            ("http://[::1]:4000", &[], "::1 4000 http://[::1]:4000"),
            ("http://0.0.0.0:4000", &[], "0.0.0.0 4000 http://localhost:4000"),
            (proxy, &[], "localhost 3773 https://agent.example.com/a"),
            // The environment's names, and which goes first.
            (local, &[("BINDU_HOST", "0.0.0.0")], "0.0.0.0 3773 http://localhost:3773"),
            (local, &[("BINDU_HOST", "::")], ":: 3773 http://localhost:3773"),
            (local, &[("BINDU_HOST", "10.0.0.7")], "10.0.0.7 3773 http://10.0.0.7:3773"),
            (local, &[("HOST", "0.0.0.0"), ("BINDU_HOST", "::1")], "::1 3773 http://[::1]:3773"),
            (local, &[("BINDU_PORT", "4000")], "localhost 4000 http://localhost:4000"),
            (local, &[("PORT", "4000")], "localhost 4000 http://localhost:4000"),
            (local, &[("PORT", "1"), ("BINDU_PORT", "2")], "localhost 2 http://localhost:2"),
            (local, &[("BINDU_PORT", "0")], "localhost 0 http://localhost:0"),
            // A proxy's URL stays, and a stated port follows.
            (
                proxy,
                &[("BINDU_HOST", "0.0.0.0"), ("BINDU_PORT", "8080")],
                "0.0.0.0 8080 https://agent.example.com/a",
            ),
            (
                "http://box.example.com:3773",
                &[("BINDU_PORT", "4000")],
                "localhost 4000 http://box.example.com:4000",
            ),
            // The advertised URL never decides where we listen.
            (
                "http://10.0.0.7:4000",
                &[("BINDU_DEPLOYMENT_URL", "https://agent.example.com")],
                "localhost 4000 https://agent.example.com",
            ),
            (
                local,
                &[("BINDU_PUBLIC_URL", "https://b.example.com"), ("BINDU_HOST", "0.0.0.0")],
                "0.0.0.0 3773 https://b.example.com",
            ),
            (local, &[("BINDU_DEPLOYMENT_URL", "")], "localhost 3773 http://localhost:3773"),
            // What holds in place of localhost:3773.
            (
                "https://agent.example.com",
                &[("NETWORK__DEFAULT_HOST", "0.0.0.0"), ("NETWORK__DEFAULT_PORT", "9000")],
                "0.0.0.0 9000 https://agent.example.com",
            ),
            (
                "https://agent.example.com",
                &[("HOST", "::1"), ("NETWORK__DEFAULT_HOST", "0.0.0.0")],
                "::1 3773 https://agent.example.com",
            ),
        ] {
            assert_eq!(resolved(url, variables), expected, "{url} with {variables:?}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_is_explained() {
        for (url, expected) in [
            ("localhost:3773", "'deployment.url' has the scheme \"localhost\", use http or https"),
            (
                "http://localhost:65536",
                "'deployment.url' has a port that is not a number from 0 to 65535",
            ),
            ("ftp://x", "'deployment.url' has the scheme \"ftp\", use http or https"),
        ] {
            assert_eq!(resolved(url, &[]), expected);
        }
        let secret = resolved("http://user:hunter2@localhost", &[]);
        assert!(secret.contains("password") && !secret.contains("hunter2"), "{secret}");
        let public = resolved("http://localhost", &[("BINDU_DEPLOYMENT_URL", "agent")]);
        assert!(public.starts_with("BINDU_DEPLOYMENT_URL has no scheme"), "{public}");
    }

    #[test]
    fn a_bound_port_takes_the_place_of_zero() {
        assert_eq!(with_port("http://localhost:0", 4000), "http://localhost:4000");
        assert_eq!(with_port("http://localhost:1/a/", 4000), "http://localhost:1/a/");
    }
}
