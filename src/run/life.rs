//! Notices that the process was restored from a checkpoint (CRIU), so that it is no longer the one that began.
//!
//! A restored process has the number, the memory and the clocks of the one before, and there may be several. But
//! the kernel made it anew, so its start time, or the boot of its machine, is another.

use std::time::{Duration, Instant};

use crate::clock::Clock;

/// Time between two looks. They cost two reads of `/proc`, which the start of an engine need not pay twice.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Life {
    birth: Option<String>,
    looked: (Instant, i64),
}

impl Life {
    pub(super) fn begin(clock: &Clock) -> Self {
        Self { birth: clock.birth(), looked: (clock.monotonic(), clock.unix_nanos()) }
    }

    /// Returns whether the process was restored since the last look. Either clock may have stood still
    /// meanwhile.
    pub(super) fn is_another(&mut self, clock: &Clock) -> bool {
        let (then, nanos) = self.looked;
        let (now, wall) = (clock.monotonic(), clock.unix_nanos());
        let passed = Duration::from_nanos(wall.abs_diff(nanos));
        if now.saturating_duration_since(then).max(passed) < LOOK {
            return false;
        }
        self.looked = (now, wall);
        let birth = clock.birth();
        // A system that does not say, for lack of file descriptors for example, says nothing new.
        let is_another = birth.is_some() && self.birth.is_some() && birth != self.birth;
        self.birth = birth.or_else(|| self.birth.take());
        is_another
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use otel_usage_schema::vllm;

    use super::*;
    use crate::settings::Env;
    use crate::{Flush, Usage};

    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn a_restored_process_is_noticed_once() {
        let clock = Clock::fixed(0);
        let mut life = Life::begin(&clock);
        assert!(!life.is_another(&clock));
        clock.restore();
        assert!(life.is_another(&clock));
        assert!(!life.is_another(&clock));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_knows_the_birth_of_this_process() {
        let birth = Clock::system().birth();
        assert!(birth.is_some());
        assert_eq!(birth, Clock::system().birth());
    }

    /// Answers each request, and says on which connection it came.
    fn server() -> (String, Receiver<(usize, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let stream: TcpStream = stream.unwrap();
                    let mut reader = BufReader::new(&stream);
                    loop {
                        let mut length = 0;
                        loop {
                            let mut line = String::new();
                            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                                return;
                            }
                            if let Some(value) = line.strip_prefix("content-length: ") {
                                length = value.trim().parse().unwrap();
                            }
                            if line == "\r\n" {
                                break;
                            }
                        }
                        let mut body = vec![0; length];
                        reader.read_exact(&mut body).unwrap();
                        let body = String::from_utf8(body).unwrap();
                        (&stream)
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                            .unwrap();
                        sender.send((number, body)).unwrap();
                    }
                });
            }
        });
        (address, requests)
    }

    fn engine(home: &tempfile::TempDir, clock: &Clock, server: &str) -> Usage {
        let environment = Env::given([
            ("HOME", home.path().to_str().unwrap()),
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "server"),
            ("VLLM_USAGE_STATS_SERVER", server),
        ]);
        let builder = Usage::builder(&vllm::CURRENT).with_sample_data().with_clock(clock.clone());
        builder.with_environment(environment).on_notice(|_, _| {}).try_init().unwrap()
    }

    fn uuid(body: &str) -> String {
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        json["uuid"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_restored_process_has_another_identity_and_uses_no_old_connection() {
        let (home, clock) = (tempfile::tempdir().unwrap(), Clock::fixed(1_000_000_000_000_000_000));
        let (address, requests) = server();
        let usage = engine(&home, &clock, &address);
        let mut seen = Vec::new();
        for round in 0..3 {
            if round == 2 {
                clock.restore();
            }
            usage.record(vllm::Report::default());
            assert_eq!(usage.flush(PATIENCE), Flush::Settled);
            seen.push(requests.recv_timeout(PATIENCE).unwrap());
        }
        assert_eq!(seen.iter().map(|(connection, _)| *connection).collect::<Vec<_>>(), [0, 0, 1]);
        let ids: Vec<String> = seen.iter().map(|(_, body)| uuid(body)).collect();
        assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
        assert_eq!(usage.stats().exporters[0].accepted, 1, "its account begins anew");
    }

    #[test]
    fn what_waited_before_a_checkpoint_is_sent_once_by_one_of_the_restored() {
        let (home, clock) = (tempfile::tempdir().unwrap(), Clock::fixed(1_000_000_000_000_000_000));
        let place = TcpListener::bind("127.0.0.83:0").unwrap().local_addr().unwrap();
        let usage = engine(&home, &clock, &format!("http://{place}"));
        usage.record(vllm::Report::default());
        assert_eq!(usage.flush(PATIENCE), Flush::Durable);
        let folder = home.path().join(".local/state/otel-usage");
        let files = || std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(files(), 2);
        clock.restore();
        // Nothing is in memory any more, and the restored one takes its file over like any other.
        let flush = usage.flush(PATIENCE);
        assert!(matches!(flush, Flush::Durable), "{flush:?}");
        let account = &usage.stats().exporters[0];
        assert_eq!((account.accepted, account.spooled), (1, 1), "{account:?}");
        usage.withdraw();
    }
}
