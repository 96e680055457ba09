//! The bounds that `bounds/` puts into libzmq, on what a stranger may make a process keep: how many connections it
//! may hold open, and what has been refused since it began. All of them are of the process, whatever the context.

unsafe extern "C" {
    safe fn kwapi_zmq_limit_connections(count: u64);
    safe fn kwapi_zmq_connections() -> u64;
    safe fn kwapi_zmq_connections_refused() -> u64;
    safe fn kwapi_zmq_messages_refused() -> u64;
    safe fn kwapi_zmq_subscriptions_refused() -> u64;
}

/// Lets in as many connections as `count` at the bound endpoints of the process together; further ones are closed at
/// once. 512 until this is called. Those beyond it that already stand are left.
pub fn limit_connections(count: u64) {
    kwapi_zmq_limit_connections(count);
}

/// Connections that came to a bound endpoint and still stand.
pub fn connections() -> u64 {
    kwapi_zmq_connections()
}

/// Connections closed at once, since there were as many as there may be.
pub fn connections_refused() -> u64 {
    kwapi_zmq_connections_refused()
}

/// Messages of more frames than any honest one, each of which cost its sender the connection, and messages that are
/// no subscription, from listeners.
pub fn messages_refused() -> u64 {
    kwapi_zmq_messages_refused()
}

/// Subscriptions beyond what a listener, or all of a socket together, may have.
pub fn subscriptions_refused() -> u64 {
    kwapi_zmq_subscriptions_refused()
}
