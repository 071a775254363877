//! Logs: who writes them where, and in which form.
