//! A broker inside this process, for local use and tests.
