//! `cargo xtask demo serve`: a made-up month, and the pages that show it.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a demo at a terminal, in real time"
)]

use std::io::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use otel_usage_serve::page;
use otel_usage_serve_demo::{DAY, DAYS, live, month, scratch};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let today = i64::try_from(now)?.div_euclid(DAY);
    let folder = scratch()?;
    let file = folder.path().join("otel-usage.db");
    println!(
        "A made-up fleet reports for {DAYS} days. Most engines live for minutes and few for weeks, a version is released,\n\
         some days arrive late, and for five days ten networks send reports of engines that do not exist."
    );
    let began = Instant::now();
    let end = live(&file, month(today.saturating_sub(DAYS)), |day, messages| {
        print!("\r  day {day} of {DAYS}, {messages} messages ");
        let _ = std::io::stdout().flush();
    })
    .await?;
    println!("in {:.0} s", began.elapsed().as_secs_f64());
    let clock: otel_usage_serve::store::Clock = std::sync::Arc::new(move || end);
    let public = bind("127.0.0.1:8080").await?;
    let internal = bind("127.0.0.1:8081").await?;
    let listener = public.local_addr()?;
    println!("The public page:       http://{listener}");
    println!("The maintainers' page: http://{}", internal.local_addr()?);
    println!("Ctrl-C ends the demo and deletes the numbers.");
    let serving = async {
        tokio::try_join!(
            async { axum::serve(public, page::router(&file, clock.clone(), listener)).await },
            async { axum::serve(internal, page::internal(&file, clock.clone(), listener)).await },
        )
    };
    tokio::select! {
        served = serving => { served?; }
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(())
}

/// Listens on the usual port, or on any other if that is taken.
async fn bind(usual: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(usual).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind("127.0.0.1:0").await.context("no port is free"),
    }
}
