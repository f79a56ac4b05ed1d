//! The authorities whose certificates a usage server may show: the built-in ones, or those of a file that the environment
//! names, by the same rules as in the library.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use otel_usage_schema::authorities;
use reqwest::{Certificate, Client, ClientBuilder};

use crate::files;

/// Longest file of certificates that is read; a system's whole bundle has 250 kB.
const CERTIFICATE_BYTES: u64 = 4 * 1024 * 1024;

/// Makes a client that trusts the authorities that the variables name.
///
/// # Errors
///
/// The file of the certificates cannot be used.
pub(crate) fn client(
    client: ClientBuilder,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Client> {
    let Some((name, file)) = authorities(&variable) else { return Ok(client.build()?) };
    let path = in_home(&file, variable("HOME"));
    trusting(client, &path).with_context(|| {
        format!(
            "{name} {}: name a PEM file of the certificates to trust, or unset {name}",
            path.display()
        )
    })
}

/// Replaces a leading `~` by the home directory, as the library does.
fn in_home(path: &str, home: Option<String>) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Makes a client that trusts the certificates of a file instead of the built-in ones.
fn trusting(client: ClientBuilder, path: &Path) -> anyhow::Result<Client> {
    let found = Certificate::from_pem_bundle(&files::read(path, CERTIFICATE_BYTES)?)
        .context("it is not in PEM form")?;
    if found.is_empty() {
        bail!("it holds no certificate in PEM form");
    }
    let client = client.tls_built_in_root_certs(false);
    let client = found.into_iter().fold(client, ClientBuilder::add_root_certificate);
    client.build().context("it holds something else than certificates")
}

/// Returns why the server's certificate was refused, if that is the error. The text names no URL.
pub(crate) fn refused(error: &reqwest::Error) -> Option<String> {
    // The client has no variant of its own for it.
    std::iter::successors(error.source(), |error| (*error).source())
        .map(ToString::to_string)
        .find(|text| text.starts_with("invalid peer certificate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_used_are_an_error_that_names_the_variable_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let block = |text: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        std::fs::write(path("empty"), "nothing").unwrap();
        std::fs::write(path("damaged"), block("!")).unwrap();
        std::fs::write(path("no-certificate"), block("AAAA")).unwrap();
        std::fs::File::create(path("long")).unwrap().set_len(5 * 1024 * 1024).unwrap();
        for name in ["missing", "", "empty", "damaged", "no-certificate", "long"] {
            for named in ["OTEL_USAGE_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
                let variable = |asked: &str| (asked == named).then(|| path(name));
                let error = client(Client::builder(), variable).unwrap_err();
                let text = format!("{error:#}");
                assert!(text.contains(named) && text.contains(&path(name)), "{text}");
                assert!(text.contains("name a PEM file"), "{text}");
            }
        }
    }
}
