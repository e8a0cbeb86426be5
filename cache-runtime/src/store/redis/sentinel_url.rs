//! `redis-sentinel://[user:password@]host[:port],…/service[/db][?sentinelUsername=…&sentinelPassword=…]`

use ::redis::{ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

/// So many have a say in which server is the master, and may be asked for it one after the other.
const MOST_SENTINELS: usize = 16;
const PORT: u16 = 26_379;

/// A service whose sentinels know where its master is.
pub(crate) struct Service {
    pub(super) name: String,
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// What the url says of the master: all but its address.
    pub(super) master: ConnectionInfo,
}

impl Service {
    /// Whether the url names a service, and not a server.
    pub(crate) fn is_meant_by(url: &str) -> bool {
        ["redis-sentinel://", "rediss-sentinel://"].iter().any(|scheme| url.starts_with(scheme))
    }

    /// The error says what is wrong, and quotes nothing of the url: it may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let scheme = if scheme == "rediss-sentinel" { "rediss" } else { "redis" };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (format!("{user}@"), rest),
            None => (String::new(), rest),
        };
        let mut path = rest.trim_end_matches('/').split('/');
        let hosts: Vec<String> =
            path.next().unwrap_or_default().split(',').map(with_port).collect();
        let name = path.next().unwrap_or_default();
        let database = path.next().unwrap_or("0");
        if name.is_empty() || path.next().is_some() {
            return Err(
                "behind the sentinels it names a service, and perhaps a database".to_owned()
            );
        }
        if hosts.len() > MOST_SENTINELS {
            return Err(format!("it names more than {MOST_SENTINELS} sentinels"));
        }
        let parsed = |url: String| url.into_connection_info().map_err(|error| error.to_string());
        let credentials = credentials(query)?;
        let sentinels = hosts.iter().map(|host| {
            let info = parsed(format!("{scheme}://{host}/"))?;
            Ok(info.set_redis_settings(credentials.clone()))
        });
        let sentinels: Vec<ConnectionInfo> = sentinels.collect::<Result<_, String>>()?;
        let master = parsed(format!("{scheme}://{user}{}/{database}", hosts[0]))?;
        Ok(Self { name: decoded(name)?, sentinels, master })
    }
}

fn with_port(host: &str) -> String {
    // What stands in brackets has colons of its own.
    let has_port = host.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    if host.is_empty() || has_port { host.to_owned() } else { format!("{host}:{PORT}") }
}

/// Those for the sentinels, which are servers of their own.
fn credentials(query: &str) -> Result<RedisConnectionInfo, String> {
    let mut settings = RedisConnectionInfo::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinelUsername", name)) => settings = settings.set_username(decoded(name)?),
            Some(("sentinelPassword", word)) => settings = settings.set_password(decoded(word)?),
            _ => {
                let known = "`sentinelUsername` and `sentinelPassword`";
                return Err(format!("behind the `?` it says more than {known}"));
            }
        }
    }
    Ok(settings)
}

/// `%2F` → `/`
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a `%` in it is not followed by two hexadecimal digits of UTF-8".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Service {
        Service::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"))
    }

    fn addresses(service: &Service) -> Vec<String> {
        service.sentinels.iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn sentinels_service_and_database() {
        let service = parsed("redis-sentinel://a,b:7000,[::1],[::1]:7/shop");
        assert_eq!(addresses(&service), ["a:26379", "b:7000", "::1:26379", "::1:7"]);
        assert_eq!((&*service.name, service.master.redis_settings().db()), ("shop", 0));
        for url in ["redis-sentinel://a/shop/3", "redis-sentinel://a/shop/3/"] {
            assert_eq!(parsed(url).master.redis_settings().db(), 3);
        }
        assert_eq!(parsed("redis-sentinel://a/shop%2Feu").name, "shop/eu");
    }

    #[test]
    fn the_master_and_the_sentinels_have_credentials_of_their_own() {
        let url =
            "redis-sentinel://app:p%40ss@a,b/shop?sentinelUsername=asks&sentinelPassword=s%26cret";
        let service = parsed(url);
        let master = service.master.redis_settings();
        assert_eq!((master.username(), master.password()), (Some("app"), Some("p@ss")));
        for sentinel in &service.sentinels {
            let settings = sentinel.redis_settings();
            assert_eq!((settings.username(), settings.password()), (Some("asks"), Some("s&cret")));
        }
        let service = parsed("redis-sentinel://:word@a/shop?sentinelPassword=other");
        assert_eq!(service.master.redis_settings().password(), Some("word"));
        assert_eq!(service.sentinels[0].redis_settings().username(), None);
        assert_eq!(service.sentinels[0].redis_settings().password(), Some("other"));
        let service = parsed("redis-sentinel://:word@a/shop");
        assert_eq!(service.sentinels[0].redis_settings().password(), None);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_password() {
        let many = format!("redis-sentinel://{}/shop", ["a"; MOST_SENTINELS + 1].join(","));
        for (url, part) in [
            ("redis-sentinel://a,b", "names a service"),
            ("redis-sentinel://a,b/", "names a service"),
            ("redis-sentinel://a,b/shop/0/more", "names a service"),
            ("redis-sentinel:///shop", ""),
            ("redis-sentinel://a,,b/shop", ""),
            ("redis-sentinel://:s3cret@a:port/shop", ""),
            ("redis-sentinel://:s3cret@a/shop/one", ""),
            ("redis-sentinel://a/shop?password=s3cret", "sentinelPassword"),
            ("redis-sentinel://a/shop?sentinelPassword=s3cret%2", "%"),
            ("redis-sentinel://a/shop?sentinelPassword=s3cret%zz", "%"),
            (&*many, "more than 16"),
        ] {
            let Err(why) = Service::parse(url) else { panic!("{url} is taken") };
            assert!(why.contains(part) && !why.contains("s3cret"), "{url}: {why}");
        }
    }
}
