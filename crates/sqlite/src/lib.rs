//! Opening SQLite files the way every embedded store here wants them.
