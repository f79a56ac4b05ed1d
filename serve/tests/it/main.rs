//! Integration tests of the usage server.
