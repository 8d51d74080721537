//! How the server is set up. [`RawConfig`] is what a person wrote, on the command line or in the environment;
//! [`Config`] is what it means, checked in one step that tells all problems at once. Must never know what becomes of
//! a setting.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use axum::http::{HeaderValue, Uri};
use tracing_subscriber::EnvFilter;

use super::{
    limits::{Limits, MAX_PARTS, SIZE_UNITS},
    store::Durability,
};

/// What each option is when nobody says anything.
mod default {
    pub(super) const ADDR: &str = "127.0.0.1:3000";
    pub(super) const DATA: &str = "./data";
    // Uploads of any size: who serves on loopback serves oneself. The space that is left is what limits them.
    pub(super) const MAX_FILE_SIZE: &str = "none";
    pub(super) const MAX_REQUEST_SIZE: &str = "none";
    pub(super) const MAX_FILES: &str = "1000";
    pub(super) const MAX_BYTES_PER_OWNER: &str = "none";
    pub(super) const MAX_OPEN_UPLOADS: &str = "128";
    // A person who left a folder's uploads unfinished has some hundreds; parts of tus count until they expire.
    pub(super) const MAX_UNFINISHED: &str = "1000";
    // Far beyond what one machine's uploads need; each costs some 20 KiB and a file handle.
    pub(super) const MAX_CONNECTIONS: &str = "10000";
    pub(super) const INTERIM_RESPONSES: &str = "off";
    pub(super) const RUFH_INTEROP: &str = "8,9";
    pub(super) const SPACE_RESERVE: &str = "512MiB";
    pub(super) const HEADER_TIMEOUT: &str = "30s";
    pub(super) const IDLE_TIMEOUT: &str = "60s";
    pub(super) const MIN_RATE: &str = "1KiB";
    pub(super) const MAX_AGE: &str = "1d";
    pub(super) const DURABILITY: &str = "full";
    pub(super) const PROGRESS_LINGER: &str = "5min";
    pub(super) const SHUTDOWN_GRACE: &str = "30s";
    pub(super) const LOG: &str = "info";
}

/// The options of `plimsoll serve` as they were written. Each can also be given by the environment variable named
/// beside it; the command line comes first.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct RawConfig {
    /// Address and port to listen on; port 0 takes any free one.
    ///
    /// The default can be reached from this machine only.
    #[arg(long, env = "PLIMSOLL_ADDR", hide_env_values = true)]
    #[arg(value_name = "IP:PORT", default_value = default::ADDR, help_heading = "Place")]
    pub addr: String,

    /// Certificate in PEM form, with those between it and the root, and with `--tls-key` HTTPS; by default HTTP.
    ///
    /// Both files are read at the start and again at SIGHUP.
    #[arg(long, env = "PLIMSOLL_TLS_CERT", hide_env_values = true)]
    #[arg(value_name = "FILE", help_heading = "Place")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM form; by default none.
    #[arg(long, env = "PLIMSOLL_TLS_KEY", hide_env_values = true)]
    #[arg(value_name = "FILE", help_heading = "Place")]
    pub tls_key: Option<PathBuf>,

    /// Folder for uploads and the catalog; made if it is missing.
    ///
    /// One server at a time may use it.
    #[arg(long, env = "PLIMSOLL_DATA", hide_env_values = true)]
    #[arg(value_name = "FOLDER", default_value = default::DATA, help_heading = "Place")]
    pub data: PathBuf,

    /// Folder with the page's scripts and styles; by default `site` beside the program or, if there is none,
    /// `target/site`.
    #[arg(long, env = "PLIMSOLL_SITE", hide_env_values = true)]
    #[arg(value_name = "FOLDER", help_heading = "Place")]
    pub site: Option<PathBuf>,

    /// When an upload counts as stored: `full`, when the disk has confirmed it, so that it survives a power loss;
    /// `page-cache`, when the system has taken it, which is faster and survives a crash of the server, but not of the
    /// machine.
    #[arg(long, env = "PLIMSOLL_DURABILITY", hide_env_values = true)]
    #[arg(value_name = "full|page-cache", default_value = default::DURABILITY, help_heading = "Place")]
    pub durability: String,

    /// Largest file, in bytes (SIZE), or `none`.
    #[arg(long, env = "PLIMSOLL_MAX_FILE_SIZE", hide_env_values = true)]
    #[arg(value_name = "SIZE", default_value = default::MAX_FILE_SIZE, help_heading = "Limits")]
    pub max_file_size: String,

    /// Largest request, all its files together, in bytes (SIZE), or `none`.
    #[arg(long, env = "PLIMSOLL_MAX_REQUEST_SIZE", hide_env_values = true)]
    #[arg(value_name = "SIZE", default_value = default::MAX_REQUEST_SIZE, help_heading = "Limits")]
    pub max_request_size: String,

    /// Most files in one request, 1 to 1000.
    #[arg(long, env = "PLIMSOLL_MAX_FILES", hide_env_values = true)]
    #[arg(value_name = "NUMBER", default_value = default::MAX_FILES, help_heading = "Limits")]
    pub max_files: String,

    /// Most bytes that one owner may have stored (SIZE), or `none`.
    #[arg(long, env = "PLIMSOLL_MAX_BYTES_PER_OWNER", hide_env_values = true)]
    #[arg(value_name = "SIZE", default_value = default::MAX_BYTES_PER_OWNER, help_heading = "Limits")]
    pub max_bytes_per_owner: String,

    /// Most requests with files that one owner may have under way at one time, or `none`. Ten times as many may come
    /// from one address (or network of 64 bits, by IPv6), with a cookie or without; behind a proxy, name it by
    /// `--trusted-proxy`.
    #[arg(long, env = "PLIMSOLL_MAX_OPEN_UPLOADS", hide_env_values = true)]
    #[arg(value_name = "NUMBER", default_value = default::MAX_OPEN_UPLOADS, help_heading = "Limits")]
    pub max_open_uploads: String,

    /// Most uploads in pieces that one owner may have begun and not finished, or `none`. Ten times as many may come from
    /// one address, as for `--max-open-uploads`.
    #[arg(long, env = "PLIMSOLL_MAX_UNFINISHED", hide_env_values = true)]
    #[arg(value_name = "NUMBER", default_value = default::MAX_UNFINISHED, help_heading = "Limits")]
    pub max_unfinished: String,

    /// Most connections at one time, or `none`. Further ones wait until one ends.
    #[arg(long, env = "PLIMSOLL_MAX_CONNECTIONS", hide_env_values = true)]
    #[arg(value_name = "NUMBER", default_value = default::MAX_CONNECTIONS, help_heading = "Limits")]
    pub max_connections: String,

    /// Whether a client of Resumable Uploads for HTTP is told where its upload can be gone on with while it still
    /// sends (104, over HTTP/1.1): `on` or `off`.
    ///
    /// Some proxies do not let such answers through, and some fail at them.
    #[arg(long, env = "PLIMSOLL_INTERIM_RESPONSES", hide_env_values = true)]
    #[arg(value_name = "on|off", default_value = default::INTERIM_RESPONSES)]
    #[arg(help_heading = "Other sites, proxies, log")]
    pub interim_responses: String,

    /// Versions of the draft of Resumable Uploads for HTTP whose clients are sent those answers, separated by
    /// commas.
    #[arg(long, env = "PLIMSOLL_RUFH_INTEROP", hide_env_values = true)]
    #[arg(value_name = "NUMBERS", default_value = default::RUFH_INTEROP)]
    #[arg(help_heading = "Other sites, proxies, log")]
    pub rufh_interop: String,

    /// Bytes of the volume that uploads must leave free (SIZE), or `none`.
    #[arg(long, env = "PLIMSOLL_SPACE_RESERVE", hide_env_values = true)]
    #[arg(value_name = "SIZE", default_value = default::SPACE_RESERVE, help_heading = "Limits")]
    pub space_reserve: String,

    /// Slowest upload, in bytes (SIZE) per second, or `none`.
    #[arg(long, env = "PLIMSOLL_MIN_RATE", hide_env_values = true)]
    #[arg(value_name = "SIZE", default_value = default::MIN_RATE, help_heading = "Limits")]
    pub min_rate: String,

    /// Longest time for the head of a request, and for a connection without one (TIME).
    #[arg(long, env = "PLIMSOLL_HEADER_TIMEOUT", hide_env_values = true)]
    #[arg(value_name = "TIME", default_value = default::HEADER_TIMEOUT, help_heading = "Times")]
    pub header_timeout: String,

    /// Longest time in which nothing of an upload arrives, or nothing of an answer is taken (TIME). There is no limit
    /// on the whole.
    #[arg(long, env = "PLIMSOLL_IDLE_TIMEOUT", hide_env_values = true)]
    #[arg(value_name = "TIME", default_value = default::IDLE_TIMEOUT, help_heading = "Times")]
    pub idle_timeout: String,

    /// How long an unfinished upload waits for its sender to go on, and how long the end of an upload can be asked for
    /// (TIME). Stored files have no age.
    #[arg(long, env = "PLIMSOLL_MAX_AGE", hide_env_values = true)]
    #[arg(value_name = "TIME", default_value = default::MAX_AGE, help_heading = "Times")]
    pub max_age: String,

    /// How long of that the end is kept in memory, for quick answers (TIME).
    #[arg(long, env = "PLIMSOLL_PROGRESS_LINGER", hide_env_values = true)]
    #[arg(value_name = "TIME", default_value = default::PROGRESS_LINGER, help_heading = "Times")]
    pub progress_linger: String,

    /// How long uploads under way may go on when the server is told to stop (TIME).
    #[arg(long, env = "PLIMSOLL_SHUTDOWN_GRACE", hide_env_values = true)]
    #[arg(value_name = "TIME", default_value = default::SHUTDOWN_GRACE, help_heading = "Times")]
    pub shutdown_grace: String,

    /// Another site whose pages may upload here, as `https://example.org`; may be repeated, in the environment
    /// separated by commas. By default only this
    /// server's own pages may.
    #[arg(long, env = "PLIMSOLL_ALLOW_ORIGIN", hide_env_values = true)]
    #[arg(value_name = "ORIGIN", value_delimiter = ',', help_heading = "Other sites, proxies, log")]
    pub allow_origin: Vec<String>,

    /// A proxy in front of this server, as an address or a network such as `10.0.0.0/8`, whose X-Forwarded headers
    /// are believed, or its Forwarded where it sends none of those; may be repeated, in the environment separated by
    /// commas. By default none are.
    #[arg(long, env = "PLIMSOLL_TRUSTED_PROXY", hide_env_values = true)]
    #[arg(value_name = "IP[/BITS]", value_delimiter = ',', help_heading = "Other sites, proxies, log")]
    pub trusted_proxy: Vec<String>,

    /// Where to tell of every complete file: a URL that is sent a JSON document by `POST`, again and again until it
    /// answers 2xx. By default nobody is told.
    #[arg(long, env = "PLIMSOLL_FINISH_URL", hide_env_values = true)]
    #[arg(value_name = "URL", help_heading = "Other sites, proxies, log")]
    pub finish_url: Option<String>,

    /// What is logged, to standard error: `error`, `warn`, `info`, `debug`, `trace`, or filters such as
    /// `warn,plimsoll=debug`.
    #[arg(long, env = "PLIMSOLL_LOG", hide_env_values = true)]
    #[arg(value_name = "FILTER", default_value = default::LOG, help_heading = "Other sites, proxies, log")]
    pub log: String,
}

/// How values are written, for the end of the help text.
pub const VALUES_HELP: &str = "\
SIZE is a number of bytes, or one with a unit: 500kB, 10MiB, 1.5GB, 100GiB.
TIME is a number of seconds, or one with a unit: 500ms, 30s, 5min, 2h, 1d.";

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            addr: default::ADDR.to_owned(),
            tls_cert: None,
            tls_key: None,
            data: default::DATA.into(),
            site: None,
            durability: default::DURABILITY.to_owned(),
            max_file_size: default::MAX_FILE_SIZE.to_owned(),
            max_request_size: default::MAX_REQUEST_SIZE.to_owned(),
            max_files: default::MAX_FILES.to_owned(),
            max_bytes_per_owner: default::MAX_BYTES_PER_OWNER.to_owned(),
            max_open_uploads: default::MAX_OPEN_UPLOADS.to_owned(),
            max_unfinished: default::MAX_UNFINISHED.to_owned(),
            max_connections: default::MAX_CONNECTIONS.to_owned(),
            interim_responses: default::INTERIM_RESPONSES.to_owned(),
            rufh_interop: default::RUFH_INTEROP.to_owned(),
            space_reserve: default::SPACE_RESERVE.to_owned(),
            min_rate: default::MIN_RATE.to_owned(),
            header_timeout: default::HEADER_TIMEOUT.to_owned(),
            idle_timeout: default::IDLE_TIMEOUT.to_owned(),
            max_age: default::MAX_AGE.to_owned(),
            progress_linger: default::PROGRESS_LINGER.to_owned(),
            shutdown_grace: default::SHUTDOWN_GRACE.to_owned(),
            allow_origin: Vec::new(),
            trusted_proxy: Vec::new(),
            finish_url: None,
            log: default::LOG.to_owned(),
        }
    }
}

/// Where the certificate lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those between it and the root, in PEM form.
    pub cert: PathBuf,
    /// Its private key, in PEM form.
    pub key: PathBuf,
}

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub addr: SocketAddr,
    /// The certificate, where HTTPS is spoken.
    pub tls: Option<TlsFiles>,
    /// Folder for uploads and the catalog.
    pub data: PathBuf,
    /// Folder with the page's scripts and styles.
    pub site: PathBuf,
    /// When an upload counts as stored.
    pub durability: Durability,
    /// What one request or owner may do.
    pub limits: Limits,
    /// Most requests with files that one owner may have under way at one time; from one address ten times as many.
    /// `None` is no limit.
    pub max_open_uploads: Option<u32>,
    /// Most uploads in pieces that one owner may have unfinished; from one address ten times as many. `None` is no
    /// limit.
    pub max_unfinished: Option<u32>,
    /// Most connections at one time; `None` is no limit.
    pub max_connections: Option<u32>,
    /// Whether interim responses are sent.
    pub interim_responses: bool,
    /// Interop versions of Resumable Uploads for HTTP whose clients are sent some.
    pub rufh_interop: Vec<u64>,
    /// Longest time for the head of a request, and for a connection without one.
    pub header_timeout: Duration,
    /// How long an unfinished upload waits for its sender, and how long the catalog keeps how one ended.
    pub max_age: Duration,
    /// How long the memory does.
    pub progress_linger: Duration,
    /// How long uploads under way may go on when the server is told to stop.
    pub shutdown_grace: Duration,
    /// Origins of other sites whose pages may upload here, as browsers write them.
    pub allow_origin: Vec<HeaderValue>,
    /// Proxies whose forwarded headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Where every complete file is told of.
    pub finish_url: Option<String>,
    /// What is logged, in the grammar of [`EnvFilter`].
    pub log: String,
}

impl Config {
    /// What the options mean.
    ///
    /// # Errors
    /// All that is wrong with them, at once.
    pub fn check(raw: RawConfig) -> Result<Self, Problems> {
        let mut check = Check::default();
        let addr = check.value("addr", &raw.addr, |text| {
            text.parse()
                .map_err(|_| "is not an IP address with a port, such as 127.0.0.1:3000 or [::1]:3000".into())
        });
        let tls = match (raw.tls_cert, raw.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (Some(cert), None) => {
                check.problem("tls-cert", &cert.to_string_lossy(), "needs --tls-key beside it");
                None
            }
            (None, Some(key)) => {
                check.problem("tls-key", &key.to_string_lossy(), "needs --tls-cert beside it");
                None
            }
        };
        if raw.data.as_os_str().is_empty() {
            check.problem("data", "", "names no folder");
        }
        let durability = check.value("durability", &raw.durability, |text| {
            text.parse().map_err(|_| "is neither `full` nor `page-cache`".into())
        });
        let max_file_size = check.value("max-file-size", &raw.max_file_size, limit(at_least_1(size)));
        let max_request_size =
            check.value("max-request-size", &raw.max_request_size, limit(at_least_1(size)));
        let max_files = check.value("max-files", &raw.max_files, |text| match number(text)? {
            files if (1..=u64::from(MAX_PARTS)).contains(&files) => Ok(files as u32),
            _ => Err(format!("is not between 1 and {MAX_PARTS}")),
        });
        let max_bytes_per_owner = check.value("max-bytes-per-owner", &raw.max_bytes_per_owner, limit(size));
        let max_open_uploads = check.value("max-open-uploads", &raw.max_open_uploads, count);
        let max_unfinished = check.value("max-unfinished", &raw.max_unfinished, count);
        let max_connections = check.value("max-connections", &raw.max_connections, count);
        let interim_responses = check.value("interim-responses", &raw.interim_responses, |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("is neither `on` nor `off`".to_owned()),
        });
        let rufh_interop = check.value("rufh-interop", &raw.rufh_interop, |text| {
            text.split(',').map(|version| number(version.trim())).collect::<Result<Vec<_>, _>>()
        });
        let space_reserve = check.value("space-reserve", &raw.space_reserve, limit(size));
        let min_rate = check.value("min-rate", &raw.min_rate, limit(size));
        let header_timeout = check.value("header-timeout", &raw.header_timeout, some_time);
        let idle_timeout = check.value("idle-timeout", &raw.idle_timeout, some_time);
        let max_age = check.value("max-age", &raw.max_age, some_time);
        let progress_linger = check.value("progress-linger", &raw.progress_linger, time);
        let shutdown_grace = check.value("shutdown-grace", &raw.shutdown_grace, time);
        let allow_origin = check.values("allow-origin", &raw.allow_origin, origin);
        let trusted_proxies = check.values("trusted-proxy", &raw.trusted_proxy, str::parse);
        let finish_url = match raw.finish_url.as_deref() {
            None => Some(None),
            Some(text) => check.value("finish-url", text, url).map(Some),
        };
        let log = check.value("log", &raw.log, |text| match EnvFilter::try_new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(format!("is no log filter: {error}")),
        });
        if let (Some(Some(file)), Some(Some(request))) = (max_file_size, max_request_size)
            && file > request
        {
            let why = "is larger than --max-request-size: a file of this size would not fit into a request";
            check.problem("max-file-size", &raw.max_file_size, why);
        }
        let config = (|| {
            let limits = Limits {
                max_file_size: max_file_size?,
                max_request_size: max_request_size?,
                max_files: max_files?,
                max_bytes_per_owner: max_bytes_per_owner?,
                space_reserve: space_reserve?.unwrap_or(0),
                idle_timeout: idle_timeout?,
                min_rate: min_rate?.filter(|&rate| rate > 0),
            };
            Some(Self {
                addr: addr?,
                tls,
                data: raw.data,
                site: raw.site.unwrap_or_else(default_site),
                durability: durability?,
                limits,
                max_open_uploads: max_open_uploads?,
                max_unfinished: max_unfinished?,
                max_connections: max_connections?,
                interim_responses: interim_responses?,
                rufh_interop: rufh_interop?,
                header_timeout: header_timeout?,
                max_age: max_age?,
                progress_linger: progress_linger?,
                shutdown_grace: shutdown_grace?,
                allow_origin: allow_origin?,
                trusted_proxies: trusted_proxies?,
                finish_url: finish_url?,
                log: log?,
            })
        })();
        config.filter(|_| check.problems.is_empty()).ok_or(Problems(check.problems))
    }

    /// Whether pages of this origin, as a browser writes it, may upload here.
    pub fn allows_origin(&self, origin: &HeaderValue) -> bool {
        self.allow_origin.contains(origin)
    }

    /// Whether forwarded headers from this address are believed.
    pub fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the option, without dashes.
    pub option: &'static str,
    /// What was written.
    pub value: String,
    /// What is wrong with it, to follow the value in a sentence.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variable = self.option.to_ascii_uppercase().replace('-', "_");
        write!(f, "--{} (PLIMSOLL_{variable}): \"{}\" {}", self.option, self.value, self.why)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "one setting" } else { "some settings" })?;
        f.write_str(" cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// An IP address or a network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that an address in the network has in common with `address`.
    bits: u32,
}

impl Network {
    /// Whether the address lies in this network. An IPv4 address counts as itself when it is written as IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is neither an IP address nor a network such as 10.0.0.0/8".to_owned();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most {
            return Err(format!("has more than the {most} bits of such an address"));
        }
        Ok(Self { address, bits })
    }
}

/// Collects what is wrong while the rest is looked at.
#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn value<T>(
        &mut self,
        option: &'static str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text.trim()).map_err(|why| self.problem(option, text, why)).ok()
    }

    /// Every wrong one of a repeated option is a problem of its own.
    fn values<T>(
        &mut self,
        option: &'static str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let values: Vec<_> = texts.iter().map(|text| self.value(option, text, &parse)).collect();
        values.into_iter().collect()
    }

    fn problem(&mut self, option: &'static str, value: &str, why: impl Into<String>) {
        self.problems.push(Problem { option, value: value.to_owned(), why: why.into() });
    }
}

/// `none`, or what `parse` takes.
fn limit<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if text == "none" { Ok(None) } else { parse(text).map(Some) }
}

fn at_least_1(parse: impl Fn(&str) -> Result<u64, String>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| match parse(text)? {
        0 => Err("would allow nothing at all; `none` is no limit".to_owned()),
        number => Ok(number),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "is not a whole number".to_owned())
}

/// How many of something a server may have at one time, or `none`.
fn count(text: &str) -> Result<Option<u32>, String> {
    let count = limit(at_least_1(number))(text)?;
    count.map(u32::try_from).transpose().map_err(|_| "is more than any server can have".into())
}

fn size(text: &str) -> Result<u64, String> {
    let wrong = || "is not a size such as 1000000, 500kB, 10MiB, 1.5GB".to_owned();
    let (number, unit) = with_unit(text).ok_or_else(wrong)?;
    let bytes = match unit {
        "" | "B" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1,
    };
    let total = number.times(bytes).ok_or_else(wrong)?;
    // What a database and a file system can count.
    u64::try_from(total)
        .ok()
        .filter(|&size| size <= i64::MAX as u64)
        .ok_or("is larger than any file can be".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a time such as 30, 500ms, 30s, 5min, 2h, 1d".to_owned();
    let (number, unit) = with_unit(text).ok_or_else(wrong)?;
    let ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let century = 100 * 365 * 86_400_000;
    let total = number.times(ms).ok_or_else(wrong)?;
    let ms =
        u64::try_from(total).ok().filter(|&ms| ms <= century).ok_or("is longer than a century".to_owned())?;
    Ok(Duration::from_millis(ms))
}

fn some_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("is no time at all".to_owned()),
        time => Ok(time),
    }
}

/// A decimal number without sign or exponent.
struct Decimal {
    digits: u128,
    /// How many of the digits stand after the point.
    after_point: u32,
}

impl Decimal {
    /// The product, rounded down. `None`: the number has more digits than anyone means.
    fn times(&self, unit: u64) -> Option<u128> {
        Some(self.digits.checked_mul(u128::from(unit))? / 10_u128.checked_pow(self.after_point)?)
    }
}

/// A number and the unit behind it, as in `1.5GB` or `10 MiB`.
fn with_unit(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || part.is_empty() || part.len() > 9 {
        return None;
    }
    let digits = format!("{whole}{part}").parse().ok()?;
    Some((Decimal { digits, after_point: part.len() as u32 }, unit.trim_start()))
}

/// A URL that can be posted to.
fn url(text: &str) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let is_one = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_one { Ok(text.to_owned()) } else { Err("is not a URL such as https://example.org/uploaded".into()) }
}

/// An origin, as a browser writes it: scheme and host in lower case, no default port, no path.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || "is not an origin such as https://example.org or http://localhost:8080".to_owned();
    if text == "*" {
        return Err("would let every site upload in a visitor's name; name the sites".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(wrong()),
    };
    if uri.path() != "/"
        || uri.query().is_some()
        || authority.as_str().contains('@')
        || authority.host().is_empty()
    {
        return Err(wrong());
    }
    let port = authority.port_u16().filter(|&port| port != default_port);
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let origin = format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase());
    HeaderValue::from_str(&origin).map_err(|_| wrong())
}

/// `site` beside the program where it is installed; where it was built, the build's own.
fn default_site() -> PathBuf {
    let program = std::env::current_exe().ok();
    let beside = program.and_then(|program| program.parent().map(|folder| folder.join("site")));
    beside.filter(|site| site.is_dir()).unwrap_or_else(|| "target/site".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut RawConfig)) -> Result<Config, Problems> {
        let mut raw = RawConfig::default();
        change(&mut raw);
        Config::check(raw)
    }

    #[test]
    fn the_defaults_let_a_person_upload_a_large_file() {
        let config = check(|_| {}).unwrap();
        assert!(config.addr.ip().is_loopback());
        assert!(config.limits.admit(Some((100 << 30) + 500), Some(100 << 30)).is_ok());
        assert_eq!(config.limits.max_bytes_per_owner, None);
        assert_eq!(config.limits.space_reserve, 512 << 20);
        assert_eq!(config.limits.min_rate, Some(1024));
        assert_eq!(config.durability, Durability::Full);
        assert_eq!(config.progress_linger, Duration::from_secs(300));
        assert!(config.allow_origin.is_empty() && config.trusted_proxies.is_empty());
    }

    #[test]
    fn all_problems_are_told_at_once_with_option_and_variable() {
        let problems = check(|raw| {
            *raw = RawConfig {
                addr: "everywhere".to_owned(),
                tls_cert: Some("cert.pem".into()),
                tls_key: None,
                data: PathBuf::new(),
                site: None,
                durability: "half".to_owned(),
                max_file_size: "10 parsecs".to_owned(),
                max_request_size: "0".to_owned(),
                max_files: "1001".to_owned(),
                max_bytes_per_owner: "-1".to_owned(),
                max_open_uploads: "0".to_owned(),
                max_unfinished: "many".to_owned(),
                max_connections: "4294967296".to_owned(),
                interim_responses: "yes".to_owned(),
                rufh_interop: "8,nine".to_owned(),
                space_reserve: "1e9".to_owned(),
                min_rate: "fast".to_owned(),
                header_timeout: "0".to_owned(),
                idle_timeout: "5 fortnights".to_owned(),
                max_age: "".to_owned(),
                progress_linger: "5m".to_owned(),
                shutdown_grace: "never".to_owned(),
                allow_origin: vec!["*".to_owned(), "https://fine.example".to_owned(), "here".to_owned()],
                trusted_proxy: vec!["10.0.0.0/33".to_owned()],
                finish_url: Some("somewhere".to_owned()),
                log: "a=b=c".to_owned(),
            }
        })
        .unwrap_err();
        let options: Vec<_> = problems.0.iter().map(|problem| problem.option).collect();
        assert_eq!(
            options,
            [
                "addr",
                "tls-cert",
                "data",
                "durability",
                "max-file-size",
                "max-request-size",
                "max-files",
                "max-bytes-per-owner",
                "max-open-uploads",
                "max-unfinished",
                "max-connections",
                "interim-responses",
                "rufh-interop",
                "space-reserve",
                "min-rate",
                "header-timeout",
                "idle-timeout",
                "max-age",
                "progress-linger",
                "shutdown-grace",
                "allow-origin",
                "allow-origin",
                "trusted-proxy",
                "finish-url",
                "log",
            ]
        );
        let text = problems.to_string();
        assert!(
            text.starts_with(
                "some settings cannot be used:\n  --addr (PLIMSOLL_ADDR): \"everywhere\" is not"
            )
        );
        assert!(
            text.contains("--max-file-size (PLIMSOLL_MAX_FILE_SIZE): \"10 parsecs\" is not a size"),
            "{text}"
        );
    }

    #[test]
    fn a_file_must_fit_into_a_request() {
        let sizes = |file: &str, request: &str| {
            check(|raw| {
                raw.max_file_size = file.to_owned();
                raw.max_request_size = request.to_owned();
            })
        };
        assert!(sizes("10MB", "10MB").is_ok());
        assert!(sizes("none", "10MB").is_ok());
        assert_eq!(sizes("11MB", "10MB").unwrap_err().0[0].option, "max-file-size");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("500kB", 500_000),
            ("500 KB", 500_000),
            ("10MiB", 10 << 20),
            ("10mib", 10 << 20),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("100GiB", 100 << 30),
            ("1B", 1),
            ("2TiB", 2 << 40),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "MiB",
            ".5MB",
            "1.",
            "1.5.5",
            "1,5",
            "-1",
            "+1",
            "1e3",
            "10M",
            "0x10",
            "1 0",
            "1.0000000001GB",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for large in ["9223372036854775808", "8192PiB", &"9".repeat(30), &"9".repeat(300)] {
            assert!(size(large).is_err(), "{large}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", 0),
            ("30", 30_000),
            ("500ms", 500),
            ("30s", 30_000),
            ("0.5s", 500),
            ("5min", 300_000),
            ("5 min", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "s", "5m", "5M", "-5s", "1w", "200000d", &"9".repeat(40)] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn none_is_no_limit_and_nothing_else_is() {
        let config = check(|raw| {
            for limit in [
                &mut raw.max_open_uploads,
                &mut raw.max_unfinished,
                &mut raw.space_reserve,
                &mut raw.min_rate,
                &mut raw.max_bytes_per_owner,
            ] {
                *limit = "none".to_owned();
            }
        })
        .unwrap();
        assert_eq!(
            (
                config.max_open_uploads,
                config.max_unfinished,
                config.limits.min_rate,
                config.limits.space_reserve
            ),
            (None, None, None, 0)
        );
        assert_eq!(check(|raw| raw.min_rate = "0".to_owned()).unwrap().limits.min_rate, None);
        assert!(check(|raw| raw.max_file_size = "unlimited".to_owned()).is_err());
        assert!(check(|raw| raw.idle_timeout = "none".to_owned()).is_err());
    }

    #[test]
    fn events_go_to_a_url() {
        for text in ["https://example.org", "http://127.0.0.1:8080/finished?by=plimsoll"] {
            let config = check(|raw| raw.finish_url = Some(text.to_owned())).unwrap();
            assert_eq!(config.finish_url.as_deref(), Some(text));
        }
        for wrong in ["", "example.org", "/finished", "ftp://example.org/", "https://", "not a url"] {
            assert!(check(|raw| raw.finish_url = Some(wrong.to_owned())).is_err(), "{wrong:?}");
        }
        assert_eq!(check(|_| {}).unwrap().finish_url, None);
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (text, origin_of_it) in [
            ("https://example.org", "https://example.org"),
            ("https://Example.ORG/", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(origin(text), Ok(HeaderValue::from_static(origin_of_it)), "{text}");
        }
        for wrong in [
            "",
            "*",
            "null",
            "example.org",
            "ftp://example.org",
            "https://example.org/path",
            "https://example.org?x",
            "https://me@example.org",
            "https://",
            "/",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        let config = check(|raw| raw.allow_origin = vec!["https://example.org/".to_owned()]).unwrap();
        assert!(config.allows_origin(&HeaderValue::from_static("https://example.org")));
        assert!(!config.allows_origin(&HeaderValue::from_static("https://example.org.evil.example")));
        assert!(!config.allows_origin(&HeaderValue::from_static("http://example.org")));
        assert!(!config.allows_origin(&HeaderValue::from_static("null")));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let networks = ["127.0.0.1", "10.1.0.0/16", "::1", "fd00::/8"];
        let config = check(|raw| raw.trusted_proxy = networks.map(str::to_owned).to_vec()).unwrap();
        for inside in ["127.0.0.1", "10.1.2.3", "::1", "fd12::1", "::ffff:10.1.2.3"] {
            assert!(config.is_trusted_proxy(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["127.0.0.2", "10.2.0.1", "::2", "fe80::1", "::ffff:10.2.0.1", "0.0.0.1"] {
            assert!(!config.is_trusted_proxy(outside.parse().unwrap()), "{outside}");
        }
        let everyone: Network = "0.0.0.0/0".parse().unwrap();
        assert!(everyone.contains("8.8.8.8".parse().unwrap()) && !everyone.contains("::2".parse().unwrap()));
        for wrong in ["", "localhost", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/33", "::1/129", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
