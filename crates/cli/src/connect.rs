//! Finding the coordinator: the data directory, the URL and the token.
//!
//! An option goes before an environment variable, that before what `hiveforge up` left in the data directory. A token
//! has no option, since arguments can be read by others. The environment is a value here, so the order can be tested.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use protocol::client::Client;

use crate::failure::Failure;

/// The file in the data directory that names the coordinator.
pub(crate) const URL_FILE: &str = "url";
/// The file in the data directory that holds the admin token.
pub(crate) const TOKEN_FILE: &str = "admin.token";

/// The environment variables that matter; empty ones count as absent.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// `HIVEFORGE_COORDINATOR`, or `HIVEFORGE_URL`
    pub(crate) coordinators: Option<String>,
    /// `HIVEFORGE_TOKEN`
    pub(crate) token: Option<String>,
    /// `HIVEFORGE_DATA`
    pub(crate) data: Option<PathBuf>,
    /// `HIVEFORGE_LOG`
    pub(crate) log: Option<String>,
    /// `XDG_STATE_HOME`
    pub(crate) state_home: Option<PathBuf>,
    /// `HOME`
    pub(crate) home: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        let path = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            coordinators: text("HIVEFORGE_COORDINATOR").or_else(|| text("HIVEFORGE_URL")),
            token: text("HIVEFORGE_TOKEN"),
            data: path("HIVEFORGE_DATA"),
            log: text("HIVEFORGE_LOG"),
            state_home: path("XDG_STATE_HOME"),
            home: path("HOME"),
        }
    }
}

/// The data directory. It need not exist.
///
/// # Errors
/// Neither an option nor a variable leads to one.
pub(crate) fn data_dir(option: Option<&Path>, environment: &Environment) -> Result<PathBuf, Failure> {
    // The XDG specification says to ignore a relative path.
    let state_home = environment.state_home.clone().filter(|path| path.is_absolute());
    let state_home = state_home.or_else(|| environment.home.as_ref().map(|home| home.join(".local/state")));
    option
        .map(Path::to_path_buf)
        .or_else(|| environment.data.clone())
        .or_else(|| state_home.map(|path| path.join("hiveforge")))
        .ok_or(Failure::NoDataDir)
}

/// A client of the coordinators that options, environment or data directory name. Each option may name several, with
/// commas.
///
/// # Errors
/// There is none, there is no token, or a URL is none.
pub(crate) fn connect(
    options: &[String],
    data: Option<&Path>,
    environment: &Environment,
) -> Result<Client, Failure> {
    let urls = match (options, &environment.coordinators) {
        ([], None) => vec![read_url(&data_dir(data, environment)?)?],
        ([], Some(urls)) => vec![urls.clone()],
        (urls, _) => urls.to_vec(),
    };
    let token = match &environment.token {
        Some(token) => token.clone(),
        None => read_token(&data_dir(data, environment)?)?,
    };
    Ok(Client::new(urls, token.trim())?)
}

fn read_url(data: &Path) -> Result<String, Failure> {
    let path = data.join(URL_FILE);
    match std::fs::read_to_string(&path) {
        Ok(url) => Ok(url.trim().to_owned()),
        Err(why) if why.kind() == ErrorKind::NotFound => Err(Failure::NoCoordinator { looked_at: path }),
        Err(why) => Err(Failure::file("read", path, why)),
    }
}

fn read_token(data: &Path) -> Result<String, Failure> {
    let path = data.join(TOKEN_FILE);
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(token),
        Err(why) => Err(Failure::NoToken { path, why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            data: Some("/from/variable".into()),
            state_home: Some("/xdg".into()),
            home: Some("/users/ada".into()),
            ..Environment::default()
        }
    }

    #[test]
    fn the_data_directory_comes_from_option_then_variable_then_xdg_then_home() {
        let mut environment = environment();
        let check = |option: Option<&str>, environment: &Environment, expected: &str| {
            assert_eq!(
                data_dir(option.map(Path::new), environment).unwrap(),
                Path::new(expected)
            );
        };
        check(Some("/from/option"), &environment, "/from/option");
        check(None, &environment, "/from/variable");
        environment.data = None;
        check(None, &environment, "/xdg/hiveforge");
        environment.state_home = Some("relative".into());
        check(None, &environment, "/users/ada/.local/state/hiveforge");
        environment.home = None;
        assert!(matches!(data_dir(None, &environment), Err(Failure::NoDataDir)));
    }

    #[test]
    fn coordinators_come_from_options_then_variable_then_the_data_directory() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(URL_FILE), "http://file:1\n").unwrap();
        std::fs::write(data.path().join(TOKEN_FILE), "secret\n").unwrap();
        let mut environment = Environment {
            coordinators: Some("http://variable:1, http://second:1".into()),
            ..Environment::default()
        };
        let check = |options: &[&str], environment: &Environment, expected: &[&str]| {
            let options: Vec<String> = options.iter().map(|url| (*url).to_owned()).collect();
            let client = connect(&options, Some(data.path()), environment).unwrap();
            assert_eq!(client.urls(), expected);
        };
        let (one, more) = ("http://one:1/", "http://two:1,http://three:1");
        check(
            &[one, more],
            &environment,
            &["http://one:1", "http://two:1", "http://three:1"],
        );
        check(&[], &environment, &["http://variable:1", "http://second:1"]);
        environment.coordinators = None;
        check(&[], &environment, &["http://file:1"]);
    }

    #[test]
    fn what_is_missing_is_said_with_the_way_out() {
        let data = tempfile::tempdir().unwrap();
        let refused = |urls: &[String]| {
            connect(urls, Some(data.path()), &Environment::default())
                .err()
                .unwrap()
        };
        assert!(matches!(refused(&[]), Failure::NoCoordinator { .. }));
        let url = "http://x:1".to_owned();
        assert!(matches!(refused(&[url]), Failure::NoToken { .. }));
        std::fs::write(data.path().join(TOKEN_FILE), "secret").unwrap();
        let Failure::BadUrl(bad) = refused(&["http://x:1,x:2".to_owned()]) else {
            panic!("it is no URL")
        };
        assert_eq!(bad.0, "x:2");
    }
}
