//! The constants of `zmq.h` (libzmq 4.3.5) that the `zmq` crate names.

use std::os::raw::c_uint;

// Context options.
pub const ZMQ_IO_THREADS: c_uint = 1;

// Socket types.
pub const ZMQ_PAIR: c_uint = 0;
pub const ZMQ_PUB: c_uint = 1;
pub const ZMQ_SUB: c_uint = 2;
pub const ZMQ_REQ: c_uint = 3;
pub const ZMQ_REP: c_uint = 4;
pub const ZMQ_DEALER: c_uint = 5;
pub const ZMQ_ROUTER: c_uint = 6;
pub const ZMQ_PULL: c_uint = 7;
pub const ZMQ_PUSH: c_uint = 8;
pub const ZMQ_XPUB: c_uint = 9;
pub const ZMQ_XSUB: c_uint = 10;
pub const ZMQ_STREAM: c_uint = 11;

// Send and receive flags.
pub const ZMQ_DONTWAIT: c_uint = 1;
pub const ZMQ_SNDMORE: c_uint = 2;

// Security mechanisms.
pub const ZMQ_NULL: c_uint = 0;
pub const ZMQ_PLAIN: c_uint = 1;
pub const ZMQ_CURVE: c_uint = 2;
pub const ZMQ_GSSAPI: c_uint = 3;

// Poll events.
pub const ZMQ_POLLIN: c_uint = 1;
pub const ZMQ_POLLOUT: c_uint = 2;
pub const ZMQ_POLLERR: c_uint = 4;

// Socket options.
pub const ZMQ_AFFINITY: c_uint = 4;
pub const ZMQ_ROUTING_ID: c_uint = 5;
pub const ZMQ_SUBSCRIBE: c_uint = 6;
pub const ZMQ_UNSUBSCRIBE: c_uint = 7;
pub const ZMQ_RATE: c_uint = 8;
pub const ZMQ_RECOVERY_IVL: c_uint = 9;
pub const ZMQ_SNDBUF: c_uint = 11;
pub const ZMQ_RCVBUF: c_uint = 12;
pub const ZMQ_RCVMORE: c_uint = 13;
pub const ZMQ_FD: c_uint = 14;
pub const ZMQ_EVENTS: c_uint = 15;
pub const ZMQ_TYPE: c_uint = 16;
pub const ZMQ_LINGER: c_uint = 17;
pub const ZMQ_RECONNECT_IVL: c_uint = 18;
pub const ZMQ_BACKLOG: c_uint = 19;
pub const ZMQ_RECONNECT_IVL_MAX: c_uint = 21;
pub const ZMQ_MAXMSGSIZE: c_uint = 22;
pub const ZMQ_SNDHWM: c_uint = 23;
pub const ZMQ_RCVHWM: c_uint = 24;
pub const ZMQ_MULTICAST_HOPS: c_uint = 25;
pub const ZMQ_RCVTIMEO: c_uint = 27;
pub const ZMQ_SNDTIMEO: c_uint = 28;
pub const ZMQ_LAST_ENDPOINT: c_uint = 32;
pub const ZMQ_ROUTER_MANDATORY: c_uint = 33;
pub const ZMQ_TCP_KEEPALIVE: c_uint = 34;
pub const ZMQ_TCP_KEEPALIVE_CNT: c_uint = 35;
pub const ZMQ_TCP_KEEPALIVE_IDLE: c_uint = 36;
pub const ZMQ_TCP_KEEPALIVE_INTVL: c_uint = 37;
pub const ZMQ_IMMEDIATE: c_uint = 39;
pub const ZMQ_XPUB_VERBOSE: c_uint = 40;
pub const ZMQ_IPV6: c_uint = 42;
pub const ZMQ_MECHANISM: c_uint = 43;
pub const ZMQ_PLAIN_SERVER: c_uint = 44;
pub const ZMQ_PLAIN_USERNAME: c_uint = 45;
pub const ZMQ_PLAIN_PASSWORD: c_uint = 46;
pub const ZMQ_CURVE_SERVER: c_uint = 47;
pub const ZMQ_CURVE_PUBLICKEY: c_uint = 48;
pub const ZMQ_CURVE_SECRETKEY: c_uint = 49;
pub const ZMQ_CURVE_SERVERKEY: c_uint = 50;
pub const ZMQ_PROBE_ROUTER: c_uint = 51;
pub const ZMQ_REQ_CORRELATE: c_uint = 52;
pub const ZMQ_REQ_RELAXED: c_uint = 53;
pub const ZMQ_CONFLATE: c_uint = 54;
pub const ZMQ_ZAP_DOMAIN: c_uint = 55;
pub const ZMQ_ROUTER_HANDOVER: c_uint = 56;
pub const ZMQ_TOS: c_uint = 57;
pub const ZMQ_GSSAPI_SERVER: c_uint = 62;
pub const ZMQ_GSSAPI_PRINCIPAL: c_uint = 63;
pub const ZMQ_GSSAPI_SERVICE_PRINCIPAL: c_uint = 64;
pub const ZMQ_GSSAPI_PLAINTEXT: c_uint = 65;
pub const ZMQ_HANDSHAKE_IVL: c_uint = 66;
pub const ZMQ_SOCKS_PROXY: c_uint = 68;
pub const ZMQ_XPUB_WELCOME_MSG: c_uint = 72;
pub const ZMQ_HEARTBEAT_IVL: c_uint = 75;
pub const ZMQ_HEARTBEAT_TTL: c_uint = 76;
pub const ZMQ_HEARTBEAT_TIMEOUT: c_uint = 77;
pub const ZMQ_CONNECT_TIMEOUT: c_uint = 79;

// Events of a socket monitor.
pub const ZMQ_EVENT_CONNECTED: c_uint = 0x0001;
pub const ZMQ_EVENT_CONNECT_DELAYED: c_uint = 0x0002;
pub const ZMQ_EVENT_CONNECT_RETRIED: c_uint = 0x0004;
pub const ZMQ_EVENT_LISTENING: c_uint = 0x0008;
pub const ZMQ_EVENT_BIND_FAILED: c_uint = 0x0010;
pub const ZMQ_EVENT_ACCEPTED: c_uint = 0x0020;
pub const ZMQ_EVENT_ACCEPT_FAILED: c_uint = 0x0040;
pub const ZMQ_EVENT_CLOSED: c_uint = 0x0080;
pub const ZMQ_EVENT_CLOSE_FAILED: c_uint = 0x0100;
pub const ZMQ_EVENT_DISCONNECTED: c_uint = 0x0200;
pub const ZMQ_EVENT_MONITOR_STOPPED: c_uint = 0x0400;
pub const ZMQ_EVENT_ALL: c_uint = 0xffff;
pub const ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: c_uint = 0x0800;
pub const ZMQ_EVENT_HANDSHAKE_SUCCEEDED: c_uint = 0x1000;
pub const ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: c_uint = 0x2000;
pub const ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: c_uint = 0x4000;
