//! A handle of the library, and what it takes to make it again in a forked child.

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::Value;
use otel_usage::settings::Env;
use otel_usage::{Accelerators, Builder, Consent, Contract, Usage};
use uuid::Uuid;

use crate::notices::Notices;

/// Everything that a handle is made of.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) contract: Contract,
    pub(crate) environment: Env,
    pub(crate) version: Option<String>,
    pub(crate) accelerators: Option<Accelerators>,
    pub(crate) attributes: Vec<(String, Value)>,
    pub(crate) local_log: Option<PathBuf>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) server: Option<String>,
    pub(crate) consent: Option<Consent>,
    pub(crate) sample: bool,
    pub(crate) notices: Notices,
}

/// Hands the attribute on as it is.
struct Given(Value);

impl otel_usage::schema::IntoAttribute for Given {
    fn into_attribute(self) -> Option<Value> {
        Some(self.0)
    }
}

impl Recipe {
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = Usage::builder(&self.contract).with_environment(self.environment.clone());
        if let Some(version) = &self.version {
            builder = builder.with_version(version);
        }
        if let Some(accelerators) = &self.accelerators {
            builder = builder.with_accelerators(accelerators.clone());
        }
        for (name, value) in &self.attributes {
            builder = builder.with_attribute(name, Given(value.clone()));
        }
        if let Some(path) = &self.local_log {
            builder = builder.with_local_log(path);
        }
        if let Some(path) = &self.file {
            builder = builder.with_file(path);
        }
        if let Some(url) = &self.server {
            builder = builder.with_server(url);
        }
        if let Some(consent) = self.consent {
            builder = builder.with_consent(consent);
        }
        if self.sample {
            builder = builder.with_sample_data();
        }
        let notices = self.notices.clone();
        // The caller logs the notice, because a thread of ours must not call Python.
        builder.with_early_notice().on_notice(move |level, line| notices.tell(level, line))
    }
}

/// The handle of this process. A forked child makes one of its own, with an identity of its own.
#[derive(Debug)]
pub(crate) struct Handle {
    recipe: Recipe,
    /// Whether consent was withdrawn, here or in the process from which this one was forked.
    withdrawn: AtomicBool,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    process: u32,
    id: String,
    enabled: bool,
    usage: ManuallyDrop<Usage>,
}

impl Now {
    fn new(recipe: &Recipe, id: Option<String>, withdrawn: bool) -> Self {
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let mut builder = recipe.builder().with_instance_id(&id);
        if withdrawn {
            builder = builder.with_consent(Consent::Off);
        }
        let usage = builder.init();
        Self {
            process: std::process::id(),
            id,
            enabled: usage.is_enabled(),
            usage: ManuallyDrop::new(usage),
        }
    }

    /// A child in a new namespace of processes may have its parent's number, and the library knows better.
    fn is_inherited(&self) -> bool {
        self.process != std::process::id() || (self.enabled && !self.usage.is_enabled())
    }
}

impl Handle {
    pub(crate) fn new(recipe: Recipe, id: Option<String>) -> Self {
        let now = Mutex::new(Now::new(&recipe, id, false));
        Self { recipe, withdrawn: AtomicBool::new(false), now }
    }

    pub(crate) const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Returns this process's handle and its identity.
    ///
    /// Every caller holds the interpreter's lock, as a thread does that forks, so the lock is free, also in a
    /// child. It is not free if native code forked without that lock: then the result is `None`.
    pub(crate) fn get(&self) -> Option<(Usage, String)> {
        let mut now = self.now.try_lock().ok()?;
        if now.is_inherited() {
            // The parent's handle is left as it is, because its locks may be held by threads that do not exist here.
            *now = Now::new(&self.recipe, None, self.withdrawn.load(Ordering::Relaxed));
        }
        Some((Usage::clone(&now.usage), now.id.clone()))
    }

    /// Withdraws consent for this process, and for the children that it forks from now on.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
        if let Some((usage, _)) = self.get() {
            usage.withdraw();
        }
    }
}

impl Drop for Handle {
    /// Ends the run without waiting. Messages that wait go out while the process lives.
    fn drop(&mut self) {
        let Ok(now) = self.now.get_mut() else { return };
        if !now.is_inherited() {
            now.usage.finish_detached();
            #[expect(unsafe_code, reason = "the handle is dropped once, here, and not used again")]
            // SAFETY: `self` is being dropped, so that `usage` is not read after this.
            unsafe {
                ManuallyDrop::drop(&mut now.usage);
            }
        }
    }
}
