//! Segments: datagrams in a row that go one way as one packet (UDP_SEGMENT, udp(7)).

use std::io;
use std::mem::size_of;

/// Longer ones are sent each for itself: with their heads they would not fit into packets of 1500
/// bytes, and the kernel makes no fragments of segments.
pub(super) const SEGMENT_BYTES_MAX: usize = 1452;

/// Whether datagrams could not be sent because they were to be segments of one packet: the device
/// cannot (EIO), the way has no room for one of these (EINVAL, EMSGSIZE), or the kernel does not
/// know of it.
pub(super) fn is_of_segments(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    number.is_some_and(|number| {
        [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EOPNOTSUPP].contains(&number)
    })
}

/// How long the datagram is.
///
/// # Safety
/// The header must be filled in, or zero.
pub(super) unsafe fn length_of(message: &libc::mmsghdr) -> usize {
    let (parts, count) = (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen);
    // SAFETY: there are as many parts as the header says.
    (0..count).map(|at| unsafe { (*parts.add(at)).iov_len }).sum()
}

/// Whether two datagrams go from one address to another.
///
/// # Safety
/// The headers must be filled in, or zero.
pub(super) unsafe fn is_same_way(one: &libc::mmsghdr, other: &libc::mmsghdr) -> bool {
    let (one, other) = (&one.msg_hdr, &other.msg_hdr);
    // SAFETY: names and controls are as long as the headers say.
    unsafe {
        bytes_of(one.msg_name, one.msg_namelen as usize)
            == bytes_of(other.msg_name, other.msg_namelen as usize)
            && bytes_of(one.msg_control, one.msg_controllen)
                == bytes_of(other.msg_control, other.msg_controllen)
    }
}

/// # Safety
/// There must be as many initialised bytes, unless it is null.
unsafe fn bytes_of<'a>(start: *const libc::c_void, len: usize) -> &'a [u8] {
    match start.is_null() {
        true => &[],
        // SAFETY: as the caller says.
        false => unsafe { std::slice::from_raw_parts(start.cast(), len) },
    }
}

/// Says of a message, behind what is said of it already, how long its segments are.
///
/// # Safety
/// The control block is that of the message, if it has one, aligned as headers are, and has room
/// for this behind.
pub(super) unsafe fn write_segment(message: &mut libc::msghdr, control: *mut u8, length: usize) {
    let (start, len) = (message.msg_controllen, size_of::<u16>() as libc::c_uint);
    // SAFETY: as the caller says.
    unsafe {
        let header = control.add(start).cast::<libc::cmsghdr>();
        (*header).cmsg_level = libc::SOL_UDP;
        (*header).cmsg_type = libc::UDP_SEGMENT;
        (*header).cmsg_len = libc::CMSG_LEN(len) as usize;
        libc::CMSG_DATA(header).cast::<u16>().write_unaligned(length as u16);
        message.msg_control = control.cast();
        message.msg_controllen = start + libc::CMSG_SPACE(len) as usize;
    }
}
