//! Error numbers: the system's, libzmq's own, and libzmq's for what a system does not name (`zmq.h`).

use std::os::raw::c_int;

#[rustfmt::skip]
pub use libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EBUSY, ECONNREFUSED, EFAULT, EHOSTUNREACH,
    EINPROGRESS, EINTR, EINVAL, EMFILE, EMSGSIZE, ENAMETOOLONG, ENETDOWN, ENOBUFS, ENODEV, ENOENT,
    ENOMEM, ENOTCONN, ENOTSOCK, ENOTSUP, EPROTO, EPROTONOSUPPORT,
};

/// Where libzmq's own numbers begin.
pub const ZMQ_HAUSNUMERO: c_int = 156_384_712;

pub const ENOTSUP_ALT: c_int = ZMQ_HAUSNUMERO + 1;
pub const EPROTONOSUPPORT_ALT: c_int = ZMQ_HAUSNUMERO + 2;
pub const ENOBUFS_ALT: c_int = ZMQ_HAUSNUMERO + 3;
pub const ENETDOWN_ALT: c_int = ZMQ_HAUSNUMERO + 4;
pub const EADDRINUSE_ALT: c_int = ZMQ_HAUSNUMERO + 5;
pub const EADDRNOTAVAIL_ALT: c_int = ZMQ_HAUSNUMERO + 6;
pub const ECONNREFUSED_ALT: c_int = ZMQ_HAUSNUMERO + 7;
pub const EINPROGRESS_ALT: c_int = ZMQ_HAUSNUMERO + 8;
pub const ENOTSOCK_ALT: c_int = ZMQ_HAUSNUMERO + 9;
pub const EMSGSIZE_ALT: c_int = ZMQ_HAUSNUMERO + 10;
pub const EAFNOSUPPORT_ALT: c_int = ZMQ_HAUSNUMERO + 11;
pub const ENETUNREACH_ALT: c_int = ZMQ_HAUSNUMERO + 12;
pub const ECONNABORTED_ALT: c_int = ZMQ_HAUSNUMERO + 13;
pub const ECONNRESET_ALT: c_int = ZMQ_HAUSNUMERO + 14;
pub const ENOTCONN_ALT: c_int = ZMQ_HAUSNUMERO + 15;
pub const ETIMEDOUT_ALT: c_int = ZMQ_HAUSNUMERO + 16;
pub const EHOSTUNREACH_ALT: c_int = ZMQ_HAUSNUMERO + 17;
pub const ENETRESET_ALT: c_int = ZMQ_HAUSNUMERO + 18;

pub const EFSM: c_int = ZMQ_HAUSNUMERO + 51;
pub const ENOCOMPATPROTO: c_int = ZMQ_HAUSNUMERO + 52;
pub const ETERM: c_int = ZMQ_HAUSNUMERO + 53;
pub const EMTHREAD: c_int = ZMQ_HAUSNUMERO + 54;

/// `number` if the `zmq` crate has a name for it, else the nearest that has one.
pub(crate) fn known(number: c_int) -> c_int {
    match number {
        EACCES | EADDRINUSE | EADDRNOTAVAIL | EAGAIN | EBUSY | ECONNREFUSED | EFAULT | EHOSTUNREACH
        | EINPROGRESS | EINTR | EINVAL | EMFILE | EMSGSIZE | ENAMETOOLONG | ENETDOWN | ENOBUFS | ENODEV
        | ENOENT | ENOMEM | ENOTCONN | ENOTSOCK | ENOTSUP | EPROTO | EPROTONOSUPPORT => number,
        ETERM | EFSM | ENOCOMPATPROTO | EMTHREAD => number,
        number if (ENOTSUP_ALT..=ENETRESET_ALT).contains(&number) => number,
        libc::ENOTDIR | libc::EISDIR | libc::ELOOP => ENOENT,
        libc::EROFS | libc::EPERM => EACCES,
        libc::ENFILE => EMFILE,
        libc::ENOSPC => ENOMEM,
        libc::ENETUNREACH => EHOSTUNREACH,
        libc::EAFNOSUPPORT | libc::ENOPROTOOPT => EPROTONOSUPPORT,
        _ => EFAULT,
    }
}
