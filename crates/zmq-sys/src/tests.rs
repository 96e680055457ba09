use super::*;

#[test]
fn an_error_the_zmq_crate_does_not_know_is_told_as_one_it_does() {
    for (told, heard) in [
        (libc::EADDRINUSE, libc::EADDRINUSE),
        (errno::ETERM, errno::ETERM),
        (libc::ENOTDIR, libc::ENOENT),
        (libc::EROFS, libc::EACCES),
        (libc::EPERM, libc::EACCES),
        (libc::EXDEV, libc::EFAULT),
        (0, libc::EFAULT),
    ] {
        assert_eq!(errno::known(told), heard, "{told}");
    }
}

#[test]
fn a_message_is_as_large_as_the_header_says() {
    assert_eq!(size_of::<zmq_msg_t>(), 64);
    assert_eq!(align_of::<zmq_msg_t>(), align_of::<*const ()>());
}
