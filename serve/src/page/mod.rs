//! The public page and the maintainers' listener.
