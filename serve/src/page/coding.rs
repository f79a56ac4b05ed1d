//! Whether a client takes gzip, by its `Accept-Encoding`.

use axum::http::header::{ACCEPT_ENCODING, HeaderMap};

/// Returns whether a client takes gzip and likes plain text no better.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut plain) = (None, None, None);
    let lists = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|list| list.to_str().ok());
    for (name, weight) in lists.flat_map(|list| list.split(',')).map(weighed) {
        let is = |coding| name.eq_ignore_ascii_case(coding);
        match () {
            () if is("gzip") || is("x-gzip") => gzip = Some(weight),
            () if is("*") => any = Some(weight),
            () if is("identity") => plain = Some(weight),
            () => {}
        }
    }
    // The star stands for each coding that is not named.
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && plain.is_none_or(|plain| plain <= gzip)
}

/// Returns a coding and its weight. One whose weight cannot be read is not wanted, because plain text is always right.
fn weighed(coding: &str) -> (&str, f32) {
    let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())
    });
    let weight = match weight {
        None => 1.0,
        Some(read) => read.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0),
    };
    (name.trim(), weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_with_the_weight_zero_is_not_taken() {
        let takes = |lists: &[&str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(ACCEPT_ENCODING, list.parse().unwrap());
            }
            takes_gzip(&headers)
        };
        for list in [
            "gzip",
            "GZip",
            "x-gzip",
            "br, gzip;q=0.5",
            "gzip; q=0.001",
            "*",
            "*;q=0, gzip",
            "identity;q=0, *",
            "deflate;q=0, gzip;q=1.0",
        ] {
            assert!(takes(&[list]), "{list}");
        }
        for list in [
            "",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip; Q = 0",
            "*;q=0",
            "gzip;q=0, *",
            "br",
            "gzipped",
            "gzip;q=x",
            "gzip;q=nan",
            "gzip;q=2",
            "gzip;q=0.5, identity",
        ] {
            assert!(!takes(&[list]), "{list}");
        }
        assert!(takes(&["br", "gzip"]) && !takes(&[]));
    }
}
