//! The golden payloads, as engines post them.

use std::fs;

/// Returns the name, the path of the request and the body of each golden payload, in the order of their names.
pub fn posts() -> Vec<(String, &'static str, String)> {
    let mut posts: Vec<_> = fs::read_dir(crate::root().join("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let endpoint = match &file {
                file if file.starts_with("vllm") => "/",
                file if file.contains("continuous") => "/cache-usage",
                file if file.contains("lifespan") => "/cache-lifespan",
                file if file.contains("l1-usage") => "/l1-usage",
                file if file.contains("l2-") => "/l2-usage",
                _ => "/context",
            };
            (file, endpoint, fs::read_to_string(&path).unwrap())
        })
        .collect();
    posts.sort();
    assert!(posts.len() >= 30, "{}", posts.len());
    posts
}
