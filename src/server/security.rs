//! Who asks, and from where: the owner cookie, the same-origin rule, and the headers that every answer carries. Must
//! never know what is asked for.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Refusal, Server, body,
    config::Config,
    owner::{OwnerId, Scope},
};
use crate::wire::{ErrorCode, headers};

/// Name of the cookie that says whose uploads are whose. Its value is an [`OwnerId`]: 128 random bits, nothing else.
pub const OWNER_COOKIE: &str = "plimsoll_owner";

/// In the extensions of a request that came over TLS to us, not only to a proxy in front.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// Whoever sent a request.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Whose uploads this request makes, sees and deletes.
    pub owner: OwnerId,
    /// Whether the request came with the cookie. Without it the owner is a new one, told in the answer's cookie.
    pub known: bool,
    /// The address that the request came from, if the server was told.
    pub peer: Option<IpAddr>,
}

impl Visitor {
    /// Who may read the progress of an upload that this request starts: its owner; or, when nobody can be told apart
    /// yet, whoever knows its unguessable id.
    pub fn scope(&self) -> Scope {
        if self.known { Scope::Owner(self.owner.clone()) } else { Scope::Anyone }
    }

    /// Whose progress this request may read, besides what is open to anyone who knows the id.
    pub fn viewer(&self) -> Option<&OwnerId> {
        self.known.then_some(&self.owner)
    }

    /// Where the request came from, as far as one who asks often cannot choose it: an address of IPv4, or the network of
    /// 64 bits that a subscriber to IPv6 is given.
    pub fn place(&self) -> Option<String> {
        self.peer.map(|peer| match peer.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).to_string(),
        })
    }
}

/// Finds out who asks, leaves a [`Visitor`] in the request's extensions, and tells a new visitor its cookie where
/// that makes sense: with a page, and with an answer to a request that may have stored something.
pub async fn identify(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let known = cookie(request.headers(), OWNER_COOKIE).and_then(|value| value.parse().ok());
    let peer = client_address(&request, server.config());
    let visitor = Visitor { known: known.is_some(), owner: known.unwrap_or_else(OwnerId::random), peer };
    let tell = !visitor.known && (!request.method().is_safe() || wants_page(request.headers()));
    let set_cookie = tell.then(|| {
        let secure = if OwnOrigin::of(&request, server.config()).is_https { "; Secure" } else { "" };
        let year_s = 365 * 24 * 3600;
        format!("{OWNER_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={year_s}{secure}", visitor.owner)
    });
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if let Some(value) = set_cookie.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Refuses requests that change something and come from a page of another site.
///
/// `Sec-Fetch-Site` (Fetch Metadata) is believed first; where it is missing (plain HTTP beyond localhost) `Origin`
/// must name this host. A request with neither comes from no browser that would send the cookie along
/// (`SameSite=Lax`), and passes. A method that is only named in a header may change something too.
pub async fn same_origin(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let is_harmless = request.method().is_safe() || request.method() == Method::OPTIONS;
    if is_harmless && !request.headers().contains_key(headers::METHOD_OVERRIDE) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN);
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let allowed = match (site, origin) {
        (Some(b"same-origin" | b"none"), _) => true,
        (None, None) => true,
        (None, Some(origin)) if OwnOrigin::of(&request, server.config()).matches(origin) => true,
        (_, Some(origin)) => server.config().allows_origin(origin),
        (Some(_), None) => false,
    };
    if allowed {
        return next.run(request).await;
    }
    let refusal = Refusal::new(
        ErrorCode::ForbiddenOrigin,
        "This request came from a page of another site, which this server has not been told to accept.",
    );
    body::drain_in_background(request.into_body());
    refusal.into_response()
}

/// Headers that no answer of ours goes without, unless it has set its own.
pub async fn harden(request: Request, next: Next) -> Response {
    const ALWAYS: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether an answer will be looked at by a person: a navigation, not a script's request.
pub fn wants_page(headers: &HeaderMap) -> bool {
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("text/html") && !accept.contains("application/json")
}

/// The origin that a browser would call this server by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnOrigin {
    /// Whether the browser speaks TLS, to us or to a trusted proxy.
    pub is_https: bool,
    /// Host and port as the browser names them.
    pub host: String,
}

impl OwnOrigin {
    /// The origin of a request. Forwarded headers count only when the peer is one of the trusted proxies.
    pub fn of(request: &Request, config: &Config) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let peer = connected(request).filter(|&peer| config.is_trusted_proxy(peer));
        let standard = peer.and_then(|_| forwarded(headers));
        // Several proxies append: the first is what the browser said to the outermost.
        let said = |name: &str, parameter: &str| match (&standard, peer) {
            (Some(hops), _) => hops.first()?.parameter(parameter).map(|value| value.to_ascii_lowercase()),
            (None, Some(_)) => {
                let value = headers.get(name)?.to_str().ok()?;
                value.split(',').next().map(|first| first.trim().to_ascii_lowercase())
            }
            (None, None) => None,
        };
        let host = said("x-forwarded-host", "host").or_else(|| own_host(uri, headers)).unwrap_or_default();
        let over_tls = || request.extensions().get::<OverTls>().is_some();
        let is_https = said("x-forwarded-proto", "proto").map_or_else(over_tls, |proto| proto == "https");
        Self { is_https, host }
    }

    /// Whether an `Origin` header names this origin.
    pub fn matches(&self, origin: &HeaderValue) -> bool {
        let Ok(text) = origin.to_str() else { return false };
        let Some((scheme, host)) = text.split_once("://") else { return false };
        // Without a trusted proxy that says so we cannot know whether TLS ends before us; the host decides.
        let port = if scheme == "https" { ":443" } else { ":80" };
        let bare = |host: &str| host.to_ascii_lowercase().trim_end_matches(port).to_owned();
        !self.host.is_empty() && bare(host) == bare(&self.host)
    }
}

/// The address at the other end of the connection.
fn connected(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

/// The address that a request came from. A trusted proxy says for whom it asks, and of several each for whom the one
/// before it: the last address that is no such proxy's is the client's, whatever stands before it.
fn client_address(request: &Request, config: &Config) -> Option<IpAddr> {
    let mut address = connected(request)?;
    if !config.is_trusted_proxy(address) {
        return Some(address);
    }
    let headers = request.headers();
    let standard = forwarded(headers);
    let mut earlier: Box<dyn Iterator<Item = Option<IpAddr>>> = match &standard {
        Some(hops) => Box::new(hops.iter().rev().map(|hop| node(&hop.parameter("for")?))),
        None => {
            let lists = headers.get_all("x-forwarded-for").iter().rev();
            Box::new(lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(',').map(node)))
        }
    };
    while config.is_trusted_proxy(address) {
        let Some(Some(said)) = earlier.next() else { break };
        address = said;
    }
    Some(address)
}

/// One element of `Forwarded` (RFC 7239, section 4): what one proxy says of the request that it got.
struct Hop<'a>(&'a str);

impl Hop<'_> {
    /// The value of a parameter, without its quotes.
    fn parameter(&self, name: &str) -> Option<String> {
        outside_quotes(self.0, ';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| unquoted(value.trim()))
        })
    }
}

/// What the proxies on the way say by `Forwarded`, the outermost first. `None` where one of them speaks by
/// `X-Forwarded-…` instead: what such a one does not know it hands on as it came, and anybody can have written it.
fn forwarded(headers: &HeaderMap) -> Option<Vec<Hop<'_>>> {
    let older = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    let lists = headers.get_all(header::FORWARDED);
    if older.iter().any(|name| headers.contains_key(*name)) || !headers.contains_key(header::FORWARDED) {
        return None;
    }
    let lists = lists.iter().flat_map(|list| outside_quotes(list.to_str().unwrap_or_default(), ','));
    Some(lists.map(Hop).collect())
}

/// The address of a node, with or without a port (RFC 7239, section 6): `192.0.2.1:567`, `[2001:db8::1]:567`; and what
/// some proxies write, quotes or a bare address of IPv6. `None` for `unknown` and for names that hide an address.
fn node(text: &str) -> Option<IpAddr> {
    let text = unquoted(text.trim());
    let is_port = |port: &str| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse().ok().map(IpAddr::V6).filter(|_| is_whole);
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    address.parse().ok().map(IpAddr::V4).filter(|_| is_port(port))
}

/// A quoted string (RFC 9110, section 5.6.4) as what it stands for; anything else as it is.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(keep).collect()
}

/// A text cut at each separator that stands in no quoted string.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '"' if !was_escaped => quoted = !quoted,
            '\\' if quoted && !was_escaped => escaped = true,
            _ => {}
        }
        c == separator && !quoted
    })
}

/// One cookie of a request.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

fn own_host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    host.or(uri.authority().map(|authority| authority.as_str())).map(str::to_ascii_lowercase)
}

/// For handlers that have only the parts of a request.
pub fn visitor(parts: &Parts) -> Option<Visitor> {
    parts.extensions.get().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Options {
        #[command(flatten)]
        raw: super::super::config::RawConfig,
    }

    fn config(options: &[&str]) -> Config {
        let words = ["plimsoll"].iter().chain(options);
        Config::check(<Options as clap::Parser>::parse_from(words).raw).unwrap()
    }

    fn request(peer: [u8; 4], headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(axum::body::Body::empty());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 40_000))));
        request
    }

    #[test]
    fn an_origin_is_ours_when_host_and_port_agree() {
        let check = |host: &str, origin: &'static str| {
            let own = OwnOrigin { is_https: false, host: host.to_owned() };
            own.matches(&HeaderValue::from_static(origin))
        };
        assert!(check("files.example", "https://files.example"));
        assert!(check("files.example:3000", "http://files.example:3000"));
        assert!(check("files.example:443", "https://FILES.example"));
        assert!(!check("files.example", "https://files.example.evil"));
        assert!(!check("files.example", "http://files.example:3000"));
        assert!(!check("files.example", "null"));
        assert!(!check("", "http://"));
    }

    #[test]
    fn forwarded_headers_count_from_a_trusted_proxy_only() {
        let headers = [("host", "inner:3000"), ("x-forwarded-host", "outer"), ("x-forwarded-proto", "https")];
        let config = config(&["--trusted-proxy", "127.0.0.1"]);
        let from_proxy = OwnOrigin::of(&request([127, 0, 0, 1], &headers), &config);
        assert_eq!(from_proxy, OwnOrigin { is_https: true, host: "outer".to_owned() });
        let from_afar = OwnOrigin::of(&request([10, 0, 0, 1], &headers), &config);
        assert_eq!(from_afar, OwnOrigin { is_https: false, host: "inner:3000".to_owned() });
    }

    #[test]
    fn a_client_is_the_last_address_that_no_trusted_proxy_is() {
        let config = config(&["--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8"]);
        let check = |peer, lists: &[&str]| {
            let headers: Vec<_> = lists.iter().map(|list| ("x-forwarded-for", *list)).collect();
            client_address(&request(peer, &headers), &config).unwrap().to_string()
        };
        assert_eq!(check([192, 0, 2, 1], &["198.51.100.7"]), "192.0.2.1", "no proxy of ours");
        assert_eq!(check([127, 0, 0, 1], &[]), "127.0.0.1");
        assert_eq!(check([127, 0, 0, 1], &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(check([127, 0, 0, 1], &["1.1.1.1, 198.51.100.7, 10.0.0.9"]), "198.51.100.7");
        assert_eq!(check([127, 0, 0, 1], &["1.1.1.1", "198.51.100.7", " 10.0.0.9"]), "198.51.100.7");
        assert_eq!(check([127, 0, 0, 1], &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(check([127, 0, 0, 1], &["198.51.100.7, unknown"]), "127.0.0.1", "what is no address");
    }

    /// An address with a port used to be none, and all clients of such a proxy were one.
    #[test]
    fn a_client_may_be_named_with_its_port() {
        let config = config(&["--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8"]);
        let check = |name, value: &str| {
            client_address(&request([127, 0, 0, 1], &[(name, value)]), &config).unwrap().to_string()
        };
        for (said, expected) in [
            ("192.0.2.1:567", "192.0.2.1"),
            ("192.0.2.1:567, 10.0.0.9:80", "192.0.2.1"),
            ("[2001:db8::1]:567", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("\"192.0.2.1:567\"", "192.0.2.1"),
            ("\"[2001:db8::1]:567\"", "2001:db8::1"),
            ("192.0.2.1:_hidden", "192.0.2.1"),
        ] {
            assert_eq!(check("x-forwarded-for", said), expected, "{said}");
        }
        for said in
            ["192.0.2.1:", "192.0.2.1:1:2", "[2001:db8::1", "[2001:db8::1]567", "[192.0.2.1]:5", "\"", ""]
        {
            assert_eq!(check("x-forwarded-for", said), "127.0.0.1", "{said}");
        }
        for (said, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:567\"", "192.0.2.1"),
            ("for=1.1.1.1, by=10.0.0.1; for=\"[2001:db8::1]:567\";proto=https, for=10.0.0.9", "2001:db8::1"),
            ("for=1.1.1.1, for=\"a, b; for=2.2.2.2\"", "127.0.0.1"),
            ("for=1.1.1.1, for=_hidden", "127.0.0.1"),
            ("for=1.1.1.1, proto=https", "127.0.0.1"),
            ("for=\"1\\92.0.2.1\"", "192.0.2.1"),
        ] {
            assert_eq!(check("forwarded", said), expected, "{said}");
        }
    }

    /// What a proxy does not write itself it hands on as it came.
    #[test]
    fn a_client_cannot_speak_for_a_proxy_by_another_header() {
        let config = config(&["--trusted-proxy", "127.0.0.1"]);
        let both = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=6.6.6.6;host=evil;proto=https"),
            ("host", "own"),
        ];
        let from_proxy = request([127, 0, 0, 1], &both);
        assert_eq!(client_address(&from_proxy, &config).unwrap().to_string(), "192.0.2.1");
        assert_eq!(
            OwnOrigin::of(&from_proxy, &config),
            OwnOrigin { is_https: false, host: "own".to_owned() }
        );
        let standard =
            [("forwarded", "for=192.0.2.1;host=\"Outer:8443\";proto=https, for=10.0.0.1"), ("host", "own")];
        let own = OwnOrigin::of(&request([127, 0, 0, 1], &standard), &config);
        assert_eq!(own, OwnOrigin { is_https: true, host: "outer:8443".to_owned() });
        let own = OwnOrigin::of(&request([10, 0, 0, 1], &standard), &config);
        assert_eq!(own, OwnOrigin { is_https: false, host: "own".to_owned() });
    }

    #[test]
    fn a_place_is_what_a_client_cannot_change_by_itself() {
        let place = |peer: &str| {
            Visitor { owner: OwnerId::random(), known: false, peer: Some(peer.parse().unwrap()) }.place()
        };
        assert_eq!(place("192.0.2.1"), place("::ffff:192.0.2.1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
        assert_eq!(place("2001:db8:1:2::1"), place("2001:db8:1:2:ffff::9"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
    }

    #[test]
    fn tls_that_ends_with_us_is_https_unless_a_proxy_knows_better() {
        let config = config(&["--trusted-proxy", "127.0.0.1"]);
        let check = |headers: &[(&str, &str)]| {
            let mut request = request([127, 0, 0, 1], headers);
            assert!(
                headers.is_empty() || OwnOrigin::of(&request, &config).is_https == (headers[0].1 == "https")
            );
            request.extensions_mut().insert(OverTls);
            OwnOrigin::of(&request, &config).is_https
        };
        assert!(check(&[]));
        assert!(check(&[("x-forwarded-proto", "https")]));
        assert!(!check(&[("x-forwarded-proto", "http")]));
    }

    #[test]
    fn one_cookie_is_found_among_many() {
        let request = request([127, 0, 0, 1], &[("cookie", "a=1; plimsoll_owner=x"), ("cookie", "b=2")]);
        assert_eq!(cookie(request.headers(), OWNER_COOKIE), Some("x"));
        assert_eq!(cookie(request.headers(), "b"), Some("2"));
        assert_eq!(cookie(request.headers(), "owner"), None);
    }

    #[test]
    fn a_navigation_wants_a_page_and_a_script_does_not() {
        let check = |headers: &[(&str, &str)]| wants_page(request([127, 0, 0, 1], headers).headers());
        assert!(check(&[("sec-fetch-mode", "navigate"), ("accept", "*/*")]));
        assert!(!check(&[("sec-fetch-mode", "cors"), ("accept", "text/html")]));
        assert!(check(&[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]));
        assert!(!check(&[("accept", "application/json, text/html")]));
        assert!(!check(&[]));
    }
}
