//! The load of the bench: one request, encoded once, and sent each time with new ids.

use std::time::{Duration, Instant};

use bytes::Bytes;
use otel_usage::Contract;
use prost::Message as _;
use reqwest::Client;
use tokio::task::JoinSet;

use otel_usage_testing::served::{request, span};

/// Placeholder for a trace id in the encoded request.
const MARK: u64 = 0x6d61_726b_2d6d_6172;

#[derive(Clone)]
pub(crate) struct Load {
    encoded: Vec<u8>,
    /// Position of each record's trace id.
    ids: Vec<usize>,
    next: u64,
}

impl Load {
    /// Makes a request with this number of records, each of another engine.
    pub(crate) fn new(contract: &Contract, message: &str, golden: &str, batch: usize) -> Self {
        let mut batch_request = request((0..batch).map(|n| {
            let uuid = format!("\"uuid\": \"{n:08}-");
            let start = golden.find("\"uuid\": \"").unwrap();
            let engine = golden.replacen(&golden[start..start + uuid.len()], &uuid, 1);
            span(contract, message, &engine, 1)
        }));
        for group in &mut batch_request.resource_spans {
            let mut id = MARK.to_be_bytes().to_vec();
            id.extend([0; 8]);
            group.scope_spans[0].spans[0].trace_id = id;
        }
        let encoded = batch_request.encode_to_vec();
        let mark = MARK.to_be_bytes();
        let ids: Vec<usize> = encoded
            .windows(8)
            .enumerate()
            .filter(|(_, bytes)| *bytes == mark)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(ids.len(), batch);
        Self { encoded, ids, next: 1 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.encoded.len()
    }

    fn body(&mut self) -> Bytes {
        for at in &self.ids {
            self.next += 1;
            self.encoded[at + 8..at + 16].copy_from_slice(&self.next.to_be_bytes());
        }
        Bytes::copy_from_slice(&self.encoded)
    }

    /// Sends on this number of connections for this time. Returns the load, the number of requests and the
    /// time.
    pub(crate) async fn flat_out(
        self,
        url: &str,
        connections: usize,
        time: Duration,
    ) -> (Self, usize, Duration) {
        let began = Instant::now();
        let mut senders = JoinSet::new();
        let mut last = self.clone();
        for sender in 0..connections {
            let (mut load, url) = (self.clone(), url.to_owned());
            // Each connection has ids of its own.
            load.next += u64::try_from(sender).unwrap() << 40;
            senders.spawn(async move {
                let client = Client::new();
                let mut sent = 0;
                while began.elapsed() < time {
                    send(&client, &url, load.body(), 200).await;
                    sent += 1;
                }
                (sent, load.next)
            });
        }
        let mut requests = 0;
        while let Some(sender) = senders.join_next().await {
            let (sent, next) = sender.unwrap();
            requests += sent;
            last.next = last.next.max(next);
        }
        (last, requests, began.elapsed())
    }

    /// Sends single requests at a steady rate, without waiting for earlier answers. Returns the time of each
    /// request from the moment at which it was due.
    pub(crate) async fn at_rate(
        mut self,
        url: &str,
        rate: u32,
        time: Duration,
        told: u16,
    ) -> Vec<Duration> {
        let client = Client::builder().pool_max_idle_per_host(64).build().unwrap();
        let url = url.to_owned();
        for _ in 0..64 {
            send(&client, &url, self.body(), told).await;
        }
        let mut due = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut sent = JoinSet::new();
        let began = Instant::now();
        while began.elapsed() < time {
            let at = due.tick().await;
            let (client, url, body) = (client.clone(), url.clone(), self.body());
            sent.spawn(async move {
                send(&client, &url, body, told).await;
                at.elapsed()
            });
        }
        sent.join_all().await
    }
}

async fn send(client: &Client, url: &str, body: Bytes, told: u16) {
    let request =
        client.post(format!("{url}/v1/traces")).header("content-type", "application/x-protobuf");
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), told);
    answer.bytes().await.unwrap();
}
