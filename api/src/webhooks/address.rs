//! Where a webhook may go: to public addresses over TLS, and elsewhere only if the operator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::WebhookOptions;

const MAX_URL_BYTES: usize = 2_048;

/// A URL that was taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookUrl {
    pub(crate) is_tls: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    /// As it stands in the URL.
    pub(crate) authority: String,
}

impl WebhookUrl {
    /// Reads an absolute http or https URL; `Err` says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_URL_BYTES {
            return Err(format!("webhook.url has {} bytes, at most {MAX_URL_BYTES} are allowed", text.len()));
        }
        let uri: Uri = text.parse().map_err(|_| "webhook.url is no URL".to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("webhook.url must begin with https://".to_owned()),
        };
        let authority = uri.authority().ok_or("webhook.url names no host")?;
        if authority.as_str().contains('@') {
            return Err("webhook.url must not hold a user or password".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err("webhook.url names no host".to_owned());
        }
        Ok(Self {
            is_tls,
            host,
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authority: authority.to_string(),
        })
    }

    /// Whether the operator vouches for the host.
    pub(crate) fn is_vouched_for(&self, options: &WebhookOptions) -> bool {
        options.allowed_hosts.iter().any(|host| host.eq_ignore_ascii_case(&self.host))
    }

    /// Refuses what would go over the wire in the clear, and addresses that are seen to be private.
    pub(crate) fn check_scheme(&self, options: &WebhookOptions) -> Result<(), String> {
        if self.is_vouched_for(options) {
            return Ok(());
        }
        if !self.is_tls {
            return Err("webhook.url must begin with https://".to_owned());
        }
        if self.host.parse().is_ok_and(|address| !is_public(address)) {
            return Err("webhook.url must be a public address".to_owned());
        }
        Ok(())
    }
}

/// Whether an address belongs to the open internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By IANA's registry of special-purpose addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !(is_special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, translated and tunnelled addresses are as public as the one inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => false,
        // Global unicast is all that is given out.
        [first, ..] => (first & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
        };
        for text in
            ["8.8.8.8", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "2002:808:808::1", "::ffff:8.8.8.8"]
        {
            check(text, true);
        }
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn urls_are_taken_apart_and_checked() {
        let options =
            WebhookOptions { allowed_hosts: vec!["hooks.local".to_owned()], ..WebhookOptions::default() };
        let check = |text: &str, expected: bool| {
            let found = WebhookUrl::parse(text).and_then(|url| url.check_scheme(&options));
            assert_eq!(found.is_ok(), expected, "{text}: {found:?}");
        };
        check("https://example.org/hook?a=b", true);
        check("https://example.org:8443", true);
        check("http://hooks.local:9000/x", true);
        for text in [
            "http://example.org/hook",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://a:b@example.org/",
            "/hook",
            "ftp://example.org/",
            "https://",
            "",
            "https://example.org/\u{7f}",
        ] {
            check(text, false);
        }
        let url = WebhookUrl::parse("https://[2606:4700::1111]:8443/x").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("2606:4700::1111", 8443, "/x"));
    }
}
