//! Datagrams, several with one system call (recvmmsg(2), sendmmsg(2)), each with the address that
//! it comes from or goes to, and with the one of this machine that it came to or leaves from.

mod segments;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use crate::socket::{address, set_option};
use segments::{SEGMENT_BYTES_MAX, is_of_segments, is_same_way, length_of, write_segment};

/// Datagrams of one call.
pub const BATCH_MAX: usize = 32;

/// More than any datagram has: 65 507 bytes over IPv4, 65 527 over IPv6.
const DATAGRAM_BYTES: usize = 65_536;

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub ip: IpAddr,
    /// The number of the interface, for an address that means nothing without; else 0.
    interface: u32,
}

impl Local {
    pub fn new(ip: IpAddr, interface: u32) -> Self {
        Self { ip, interface: if is_of_interface(ip) { interface } else { 0 } }
    }

    pub fn interface(self) -> u32 {
        self.interface
    }
}

/// Whether each link has its own of this address (RFC 4291, section 2.5.6).
fn is_of_interface(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A datagram that has come.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'b> {
    /// Absent for a sender that has no address of the internet.
    pub from: Option<SocketAddr>,
    /// Where it came to; absent if nobody has asked for that, or nothing can leave from there.
    pub to: Option<Local>,
    pub bytes: &'b [u8],
}

/// Room for the address of a datagram, aligned as its header must be.
#[derive(Clone, Copy)]
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; CONTROL_BYTES],
}

/// `CMSG_SPACE` of `in6_pktinfo`, the larger of the two, is 40, and that of a length 24.
const CONTROL_BYTES: usize = 64;

/// All that the kernel is given pointers to.
#[repr(C)]
struct Room {
    incoming: [libc::mmsghdr; BATCH_MAX],
    outgoing: [libc::mmsghdr; BATCH_MAX],
    /// Those that are sent: one for several datagrams that become segments.
    sending: [libc::mmsghdr; BATCH_MAX],
    incoming_parts: [libc::iovec; BATCH_MAX],
    /// Of each datagram its bytes, or what stands in front as well.
    outgoing_parts: [libc::iovec; 2 * BATCH_MAX],
    incoming_names: [libc::sockaddr_storage; BATCH_MAX],
    outgoing_names: [libc::sockaddr_storage; BATCH_MAX],
    incoming_controls: [Control; BATCH_MAX],
    outgoing_controls: [Control; BATCH_MAX],
    bytes: [[u8; DATAGRAM_BYTES]; BATCH_MAX],
}

/// Room for datagrams on their way: first those of clients are received into it and sent on, then
/// those for clients. Two megabytes, of which the kernel gives what is written to.
#[derive(Debug)]
pub struct Batch {
    /// Allocated here, zeroed, and reached over this pointer alone.
    room: NonNull<Room>,
    /// Headers of incoming datagrams that the kernel has written to.
    used: usize,
    /// A device has refused to make segments: datagrams go one by one from then on.
    has_no_segments: bool,
}

impl Default for Batch {
    fn default() -> Self {
        let layout = Layout::new::<Room>();
        // SAFETY: the layout is that of a type with a size.
        let room = unsafe { alloc_zeroed(layout) };
        let Some(room) = NonNull::new(room.cast::<Room>()) else { handle_alloc_error(layout) };
        Self { room, used: BATCH_MAX, has_no_segments: false }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nothing in it has to be dropped.
        unsafe { dealloc(self.room.as_ptr().cast(), Layout::new::<Room>()) };
    }
}

impl Batch {
    /// Receives what has come to a socket, without waiting. Returns how many datagrams it is.
    ///
    /// # Errors
    /// As `recvmmsg(2)`; `WouldBlock` if none has come.
    pub fn receive_from(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        (0..self.used).for_each(|at| self.make_ready(at));
        self.used = 0;
        // SAFETY: only the address is taken; the block is there.
        let headers = unsafe { &raw mut (*self.room.as_ptr()).incoming };
        // SAFETY: each header points to blocks of its own that live as long as the room, and says
        // how long they are.
        let count = unsafe { receive(socket, headers.cast(), BATCH_MAX) }?;
        self.used = count;
        Ok(count)
    }

    fn make_ready(&mut self, at: usize) {
        assert!(at < BATCH_MAX);
        let room = self.room.as_ptr();
        // SAFETY: the block is there, the index is within, and nobody else has a reference into it.
        unsafe {
            let part = &raw mut (*room).incoming_parts[at];
            part.write(libc::iovec {
                iov_base: (&raw mut (*room).bytes[at]).cast(),
                iov_len: DATAGRAM_BYTES,
            });
            let message = &raw mut (*room).incoming[at].msg_hdr;
            (*message).msg_name = (&raw mut (*room).incoming_names[at]).cast();
            (*message).msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            (*message).msg_iov = part;
            (*message).msg_iovlen = 1;
            (*message).msg_control = (&raw mut (*room).incoming_controls[at]).cast();
            (*message).msg_controllen = CONTROL_BYTES;
            (*message).msg_flags = 0;
        }
    }

    /// One of those that [`Self::receive_from`] has received.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn received(&self, at: usize) -> Datagram<'_> {
        let bytes = self.bytes(at);
        let room = self.room.as_ptr();
        // SAFETY: the block is there and the index is within; the references live as long as the
        // one to the batch, and nothing is written meanwhile.
        unsafe {
            let from = address(&(*room).incoming_names[at]);
            Datagram { from, to: destination(&(*room).incoming[at].msg_hdr), bytes }
        }
    }

    /// The bytes alone of one that was received.
    fn bytes(&self, at: usize) -> &[u8] {
        assert!(at < self.used);
        let room = self.room.as_ptr();
        // SAFETY: as for [`Self::received`]. All bytes were initialised.
        unsafe {
            let len = (*room).incoming[at].msg_len as usize;
            &(&(*room).bytes[at])[..len.min(DATAGRAM_BYTES)]
        }
    }

    /// Sends some of those that were received on over a connected socket, each behind `prefix`.
    /// Returns how many of them, from the first on, were taken.
    ///
    /// # Errors
    /// Why the first one was not: as `sendmmsg(2)`, without waiting.
    ///
    /// # Panics
    /// When they were not received.
    pub fn send_on(
        &mut self,
        socket: BorrowedFd<'_>,
        which: &[u8],
        prefix: &[u8],
    ) -> io::Result<usize> {
        if let ([at], []) = (which, prefix) {
            return send_one(socket, self.bytes(usize::from(*at))).map(|()| 1);
        }
        let count = which.len().min(BATCH_MAX);
        for (at, from) in which[..count].iter().enumerate() {
            let from = usize::from(*from);
            let len = self.bytes(from).len();
            // SAFETY: what stands in front is only read from.
            unsafe { self.make_outgoing(at, prefix, (from, len)) };
        }
        let sent = self.send(socket, 0, count);
        if !prefix.is_empty() {
            // Nothing shall point to what may be gone after this; two parts of each were written.
            // SAFETY: nothing stands in front.
            (0..BATCH_MAX.min(2 * count))
                .for_each(|at| unsafe { self.make_outgoing(at, &[], (at, 0)) });
        }
        sent
    }

    /// Fills in what the kernel is told of a datagram on a connected socket: what stands in front
    /// of it, where its bytes are, and how many.
    ///
    /// # Safety
    /// The prefix must live until the header is filled in anew, and must not be written to.
    unsafe fn make_outgoing(&mut self, at: usize, prefix: &[u8], (from, len): (usize, usize)) {
        assert!(at < BATCH_MAX && from < BATCH_MAX && len <= DATAGRAM_BYTES);
        let room = self.room.as_ptr();
        // SAFETY: the block is there, both indexes are within, and nobody else has a reference into
        // it.
        unsafe {
            let of_each = 1 + usize::from(!prefix.is_empty());
            let parts = &raw mut (*room).outgoing_parts[of_each * at];
            // All in a row with those of the next datagram.
            *parts.add(of_each - 1) =
                libc::iovec { iov_base: (&raw mut (*room).bytes[from]).cast(), iov_len: len };
            if !prefix.is_empty() {
                *parts = libc::iovec {
                    iov_base: prefix.as_ptr().cast_mut().cast(),
                    iov_len: prefix.len(),
                };
            }
            let message = &raw mut (*room).outgoing[at].msg_hdr;
            (*message).msg_name = std::ptr::null_mut();
            (*message).msg_namelen = 0;
            (*message).msg_iov = parts;
            (*message).msg_iovlen = of_each;
            (*message).msg_control = std::ptr::null_mut();
            (*message).msg_controllen = 0;
        }
    }

    /// Receives what has come over a connected socket, at most `most` datagrams, without waiting:
    /// the first has the place `first`. What was there is gone. Returns how many it is.
    ///
    /// # Errors
    /// As `recvmmsg(2)`; `WouldBlock` if none has come, and what the socket was told by ICMP.
    ///
    /// # Panics
    /// When there are fewer places.
    pub fn receive_on(
        &mut self,
        socket: BorrowedFd<'_>,
        first: usize,
        most: usize,
    ) -> io::Result<usize> {
        assert!(first < BATCH_MAX && most <= BATCH_MAX - first);
        // What they say of the bytes behind them holds no more.
        self.forget();
        for at in first..first + most {
            // SAFETY: nothing stands in front.
            unsafe { self.make_outgoing(at, &[], (at, DATAGRAM_BYTES)) };
        }
        // SAFETY: only the address is taken; the block is there, and the index within.
        let headers = unsafe { &raw mut (*self.room.as_ptr()).outgoing[first] };
        // SAFETY: there are as many headers from there on, which were filled in above.
        unsafe { receive(socket, headers, most) }
    }

    /// What was received is not looked at any more.
    fn forget(&mut self) {
        let used = std::mem::take(&mut self.used);
        (0..used).for_each(|at| self.make_ready(at));
    }

    /// How long a datagram is that [`Self::receive_on`] has received, until it is sent.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn length(&self, at: usize) -> usize {
        // SAFETY: the block is there; the kernel has written the length, or it is zero.
        let len = unsafe { (*self.room.as_ptr()).outgoing[at].msg_len };
        (len as usize).min(DATAGRAM_BYTES)
    }

    /// Says where a datagram goes that [`Self::receive_on`] has received, and from where.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn address(&mut self, at: usize, to: SocketAddr, from: Option<Local>) {
        // SAFETY: nothing stands in front.
        unsafe { self.make_outgoing(at, &[], (at, self.length(at))) };
        let room = self.room.as_ptr();
        // SAFETY: the block is there, the index is within, and nobody else has a reference into it.
        unsafe {
            let name = &raw mut (*room).outgoing_names[at];
            let message = &raw mut (*room).outgoing[at].msg_hdr;
            (*message).msg_name = name.cast();
            (*message).msg_namelen = write_address(&mut *name, to);
            if let Some(from) = from {
                (*message).msg_control = (&raw mut (*room).outgoing_controls[at]).cast();
                (*message).msg_controllen = CONTROL_BYTES;
                (*message).msg_controllen = write_source(&*message, from);
            }
        }
    }

    /// Sends the datagrams of these places where they go. Returns how many of them, from the first
    /// on, were taken.
    ///
    /// # Errors
    /// Why the first one was not: as `sendmmsg(2)`, without waiting.
    ///
    /// # Panics
    /// When there are no such places.
    pub fn send_to(
        &mut self,
        socket: BorrowedFd<'_>,
        first: usize,
        count: usize,
    ) -> io::Result<usize> {
        self.send(socket, first, count)
    }

    /// Sends datagrams of which the headers are filled in, or were never used: those of a fresh
    /// room are zero, which is a message of nothing.
    fn send(&mut self, socket: BorrowedFd<'_>, first: usize, count: usize) -> io::Result<usize> {
        assert!(first < BATCH_MAX && count <= BATCH_MAX - first);
        let mut datagrams = [0_u8; BATCH_MAX];
        // SAFETY: the headers are as said above.
        let messages = unsafe { self.gather(first, count, &mut datagrams) };
        match self.send_gathered(socket, messages) {
            Ok(sent) => Ok(datagrams[..sent].iter().map(|&count| usize::from(count)).sum()),
            Err(error) if datagrams[0] > 1 && is_of_segments(&error) => {
                // Another way may have room for them; a device that makes none never will.
                let is_forever = error.raw_os_error() == Some(libc::EIO);
                self.has_no_segments = true;
                let sent = self.send(socket, first, count);
                self.has_no_segments = is_forever;
                sent
            }
            Err(error) => Err(error),
        }
    }

    fn send_gathered(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let (fd, len) = (socket.as_raw_fd(), count as libc::c_uint);
        // SAFETY: so many headers were gathered.
        let sent =
            unsafe { libc::sendmmsg(fd, &raw mut (*self.room.as_ptr()).sending[0], len, flags) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Gathers the headers of datagrams, with one for those in a row that go from one address to
    /// another and are equally long: these pass through the kernel as one packet and are cut in the
    /// end (UDP_SEGMENT, udp(7)). The last of a row may be shorter. Says of each header for how
    /// many datagrams it is, and returns how many headers there are.
    ///
    /// # Safety
    /// The headers of these datagrams must be filled in, or zero.
    unsafe fn gather(
        &mut self,
        first: usize,
        count: usize,
        datagrams: &mut [u8; BATCH_MAX],
    ) -> usize {
        let room = self.room.as_ptr();
        let (mut at, mut messages) = (first, 0);
        while at < first + count {
            // SAFETY: the block is there, and both indexes are within: there are no more messages
            // than datagrams. Those of a row have their parts one behind the other.
            unsafe {
                let row = self.row(at, first + count);
                let message = &raw mut (*room).sending[messages];
                *message = (*room).outgoing[at];
                if row > 1 {
                    let control = (&raw mut (*room).outgoing_controls[at]).cast();
                    write_segment(
                        &mut (*message).msg_hdr,
                        control,
                        length_of(&(*room).outgoing[at]),
                    );
                    (*message).msg_hdr.msg_iovlen *= row;
                }
                datagrams[messages] = row as u8;
                at += row;
            }
            messages += 1;
        }
        messages
    }

    /// How many datagrams from one on can become segments of one packet.
    ///
    /// # Safety
    /// As for [`Self::gather`].
    unsafe fn row(&self, first: usize, end: usize) -> usize {
        if self.has_no_segments || first + 1 == end {
            return 1;
        }
        // SAFETY: the block is there, and nothing is written meanwhile; the headers are as the
        // caller says.
        unsafe {
            let all = &(*self.room.as_ptr()).outgoing;
            let length = length_of(&all[first]);
            if !(1..=SEGMENT_BYTES_MAX).contains(&length) {
                return 1;
            }
            let mut row = 1;
            for next in &all[first + 1..end] {
                let next_length = length_of(next);
                if next_length > length || next_length == 0 || !is_same_way(&all[first], next) {
                    break;
                }
                row += 1;
                if next_length < length {
                    break;
                }
            }
            row
        }
    }
}

/// # Safety
/// The pointer must be valid for so many headers, and these for what they point to.
unsafe fn receive(
    socket: BorrowedFd<'_>,
    headers: *mut libc::mmsghdr,
    count: usize,
) -> io::Result<usize> {
    let none = std::ptr::null_mut();
    // SAFETY: as the caller says.
    let received = unsafe {
        let (fd, count) = (socket.as_raw_fd(), count as libc::c_uint);
        libc::recvmmsg(fd, headers, count, libc::MSG_DONTWAIT, none)
    };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

fn send_one(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (start, len) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: the pointer is valid for as many bytes as it says.
    let sent = unsafe { libc::send(socket.as_raw_fd(), start, len, flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Returns how long it is.
fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    let pointer = std::ptr::from_mut(storage);
    match address {
        SocketAddr::V4(v4) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is large and aligned enough for it.
            unsafe { pointer.cast::<libc::sockaddr_in>().write(address) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { pointer.cast::<libc::sockaddr_in6>().write(address) };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Where a datagram came to, as the kernel says beside it.
///
/// # Safety
/// The kernel has written the header and its control block.
unsafe fn destination(message: &libc::msghdr) -> Option<Local> {
    // SAFETY: the kernel has written whole headers into the control block, each with as many bytes
    // behind it as its length says.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(current) = header.as_ref() {
            let data = libc::CMSG_DATA(header);
            match (current.cmsg_level, current.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    // The one to answer from: for a broadcast it is not where that went to.
                    let ip = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                    return Some(Local::new(ip.into(), 0)).filter(|_| !ip.is_multicast());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    let local = Local::new(ip.into(), info.ipi6_ifindex);
                    return Some(local).filter(|_| !ip.is_multicast());
                }
                _ => header = libc::CMSG_NXTHDR(message, header),
            }
        }
    }
    None
}

/// Says beside a datagram where it leaves from. Returns how long that is.
///
/// # Safety
/// The control block of the message is aligned for a header, and has `CONTROL_BYTES`.
unsafe fn write_source(message: &libc::msghdr, from: Local) -> usize {
    let interface = from.interface;
    // SAFETY: the block has room for a header with the larger of the two behind it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        let data = libc::CMSG_DATA(header);
        let len = match from.ip {
            IpAddr::V4(v4) => {
                (*header).cmsg_level = libc::IPPROTO_IP;
                (*header).cmsg_type = libc::IP_PKTINFO;
                data.cast::<libc::in_pktinfo>().write_unaligned(libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(v4).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                });
                size_of::<libc::in_pktinfo>()
            }
            IpAddr::V6(v6) => {
                (*header).cmsg_level = libc::IPPROTO_IPV6;
                (*header).cmsg_type = libc::IPV6_PKTINFO;
                data.cast::<libc::in6_pktinfo>().write_unaligned(libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: v6.octets() },
                    ipi6_ifindex: interface,
                });
                size_of::<libc::in6_pktinfo>()
            }
        };
        (*header).cmsg_len = libc::CMSG_LEN(len as libc::c_uint) as usize;
        libc::CMSG_SPACE(len as libc::c_uint) as usize
    }
}

/// Has the kernel say of each datagram where it came to.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn tell_destinations(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    let (level, option) = match is_ipv6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
    };
    set_option(socket, (level, option), 1)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    fn socket(address: &str) -> Option<UdpSocket> {
        let socket = UdpSocket::bind(address).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Some(socket)
    }

    fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        buffer.truncate(len);
        (buffer, from)
    }

    /// Loopback delivers within the call that sends.
    #[test]
    fn datagrams_go_there_and_back_whole() {
        let (front, client) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let (here, there) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        here.connect(there.local_addr().unwrap()).unwrap();
        let mut batch = Batch::default();
        let nothing = batch.receive_from(front.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let longest = vec![b'x'; 65_507];
        for prefix in [&b""[..], b"of: "] {
            for bytes in [&b""[..], b"a", &longest[prefix.len()..]] {
                client.send_to(bytes, front.local_addr().unwrap()).unwrap();
                assert_eq!(batch.receive_from(front.as_fd()).unwrap(), 1);
                let one = batch.received(0);
                assert_eq!((one.bytes, one.from), (bytes, client.local_addr().ok()));
                assert_eq!(one.to, None, "nobody has asked");
                assert_eq!(batch.send_on(here.as_fd(), &[0], prefix).unwrap(), 1);
                let (got, from) = heard(&there);
                assert_eq!(got, [prefix, bytes].concat());
                there.send_to(bytes, from).unwrap();
                assert_eq!(batch.receive_on(here.as_fd(), 3, 4).unwrap(), 1);
                assert_eq!(batch.length(3), bytes.len());
                batch.address(3, client.local_addr().unwrap(), None);
                assert_eq!(batch.send_to(front.as_fd(), 3, 1).unwrap(), 1);
                assert_eq!(heard(&client), (bytes.to_vec(), front.local_addr().unwrap()));
            }
        }
    }

    #[test]
    fn many_come_and_go_with_one_call() {
        let (front, client) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let (here, there) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        here.connect(there.local_addr().unwrap()).unwrap();
        let mut batch = Batch::default();
        for round in 0..3 {
            for number in 0..BATCH_MAX as u8 + 1 {
                client.send_to(&[round, number], front.local_addr().unwrap()).unwrap();
            }
            assert_eq!(batch.receive_from(front.as_fd()).unwrap(), BATCH_MAX);
            assert_eq!(batch.send_on(here.as_fd(), &[31, 0, 7], b"").unwrap(), 3);
            for number in [31, 0, 7] {
                assert_eq!(heard(&there).0, [round, number]);
                there.send_to(&[number], here.local_addr().unwrap()).unwrap();
            }
            assert_eq!(batch.receive_from(front.as_fd()).unwrap(), 1);
            assert_eq!(batch.received(0).bytes, [round, 32]);
            assert_eq!(batch.receive_on(here.as_fd(), 30, 2).unwrap(), 2);
            assert_eq!(batch.receive_on(here.as_fd(), 0, 2).unwrap(), 1);
            for at in [30, 31, 0] {
                batch.address(at, client.local_addr().unwrap(), None);
            }
            assert_eq!(batch.send_to(front.as_fd(), 30, 2).unwrap(), 2);
            assert_eq!(batch.send_to(front.as_fd(), 0, 1).unwrap(), 1);
            assert_eq!([(); 3].map(|()| heard(&client).0), [[31], [0], [7]]);
        }
    }

    /// A socket without checksums is one that the kernel makes no segments for.
    #[test]
    fn where_there_are_no_segments_they_go_one_by_one() {
        let (front, client) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let (here, there) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        here.connect(there.local_addr().unwrap()).unwrap();
        set_option(here.as_fd(), (libc::SOL_SOCKET, libc::SO_NO_CHECK), 1).unwrap();
        let mut batch = Batch::default();
        for number in 0..3 {
            client.send_to(&[number], front.local_addr().unwrap()).unwrap();
        }
        assert_eq!(batch.receive_from(front.as_fd()).unwrap(), 3);
        assert_eq!(batch.send_on(here.as_fd(), &[0, 1, 2], b"x").unwrap(), 3);
        for number in 0..3 {
            assert_eq!(heard(&there).0, [b'x', number]);
        }
        assert!(!batch.has_no_segments, "it is not for ever");
    }

    #[test]
    fn no_header_points_to_what_stood_in_front() {
        let (front, client) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let here = socket("127.0.0.1:0").unwrap();
        here.connect(client.local_addr().unwrap()).unwrap();
        let mut batch = Batch::default();
        // Fills in all headers.
        batch.receive_on(here.as_fd(), 0, BATCH_MAX).unwrap_err();
        for _ in 0..3 {
            client.send_to(b"x", front.local_addr().unwrap()).unwrap();
        }
        assert_eq!(batch.receive_from(front.as_fd()).unwrap(), 3);
        let prefix = vec![b'p'; 9];
        assert_eq!(batch.send_on(here.as_fd(), &[0, 1, 2], &prefix).unwrap(), 3);
        for at in 0..BATCH_MAX {
            // SAFETY: all headers were filled in.
            let part = unsafe { *(*batch.room.as_ptr()).outgoing[at].msg_hdr.msg_iov };
            assert_ne!(part.iov_base.cast_const(), prefix.as_ptr().cast(), "{at}");
        }
    }

    /// Those that go one way and are equally long go as one, and come as they were.
    #[test]
    fn rows_of_datagrams_come_apart() {
        let (front, client) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let (here, there) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let other = socket("127.0.0.1:0").unwrap();
        here.connect(there.local_addr().unwrap()).unwrap();
        let mut batch = Batch::default();
        let long = SEGMENT_BYTES_MAX + 1;
        for (lengths, rows) in [
            (&[5, 5, 5, 5][..], &[4][..]),
            (&[5, 5, 3, 5, 5], &[3, 2]),
            (&[3, 5, 5], &[1, 2]),
            (&[0, 0, 5, 0], &[1, 1, 1, 1]),
            (&[long, long], &[1, 1]),
            (&[1000; BATCH_MAX], &[BATCH_MAX]),
        ] {
            for prefix in [&b""[..], b"of: "] {
                let texts: Vec<_> =
                    lengths.iter().zip(b'a'..).map(|(len, byte)| vec![byte; *len]).collect();
                for text in &texts {
                    client.send_to(text, front.local_addr().unwrap()).unwrap();
                }
                assert_eq!(batch.receive_from(front.as_fd()).unwrap(), texts.len());
                let which: Vec<_> = (0..texts.len() as u8).collect();
                assert_eq!(batch.send_on(here.as_fd(), &which, prefix).unwrap(), texts.len());
                for text in &texts {
                    assert_eq!(heard(&there).0, [prefix, text].concat());
                    there.send_to(text, here.local_addr().unwrap()).unwrap();
                }
                // Back to two clients, of which the second one has the last.
                let count = batch.receive_on(here.as_fd(), 0, BATCH_MAX).unwrap();
                assert_eq!(count, texts.len());
                for at in 0..count {
                    let to = if at + 1 == count { &other } else { &client };
                    batch.address(at, to.local_addr().unwrap(), None);
                }
                let mut found = [0; BATCH_MAX];
                // SAFETY: all of them were addressed.
                let messages = unsafe { batch.gather(0, count - 1, &mut found) };
                let is_cut = rows[rows.len() - 1] == 1;
                assert_eq!(messages, rows.len() - usize::from(is_cut), "{lengths:?}");
                assert_eq!(batch.send_to(front.as_fd(), 0, count).unwrap(), count);
                for text in &texts[..count - 1] {
                    assert_eq!(heard(&client), (text.clone(), front.local_addr().unwrap()));
                }
                assert_eq!(heard(&other).0, texts[count - 1]);
            }
        }
    }

    #[test]
    fn answers_leave_from_where_the_question_came_to() {
        for (bound, target, own) in [
            ("0.0.0.0:0", "127.0.0.5", "127.0.0.1:0"),
            ("[::]:0", "::1", "[::1]:0"),
            ("[::]:0", "127.0.0.6", "127.0.0.1:0"),
        ] {
            let (Some(front), Some(client)) = (socket(bound), socket(own)) else { continue };
            tell_destinations(front.as_fd(), bound.starts_with('[')).unwrap();
            let target =
                SocketAddr::new(target.parse().unwrap(), front.local_addr().unwrap().port());
            client.send_to(b"question", target).unwrap();
            let mut batch = Batch::default();
            assert_eq!(batch.receive_from(front.as_fd()).unwrap(), 1);
            let Datagram { from, to, .. } = batch.received(0);
            assert_eq!(to.map(|to| to.ip.to_canonical()), Some(target.ip()));
            // Something to answer with.
            let (here, there) = (socket(own).unwrap(), socket(own).unwrap());
            here.connect(there.local_addr().unwrap()).unwrap();
            for answer in [b"one", b"two"] {
                there.send_to(answer, here.local_addr().unwrap()).unwrap();
            }
            assert_eq!(batch.receive_on(here.as_fd(), 0, 2).unwrap(), 2);
            (0..2).for_each(|at| batch.address(at, from.unwrap(), to));
            // SAFETY: both were addressed.
            assert_eq!(unsafe { batch.gather(0, 2, &mut [0; BATCH_MAX]) }, 1);
            assert_eq!(batch.send_to(front.as_fd(), 0, 2).unwrap(), 2);
            for answer in [b"one", b"two"] {
                assert_eq!(heard(&client), (answer.to_vec(), target));
            }
        }
    }

    #[test]
    fn who_is_not_there_is_told_of() {
        let (front, client) = (socket("127.0.0.1:0").unwrap(), socket("127.0.0.1:0").unwrap());
        let here = socket("127.0.0.1:0").unwrap();
        let gone = socket("127.0.0.1:0").unwrap().local_addr().unwrap();
        here.connect(gone).unwrap();
        let mut batch = Batch::default();
        client.send_to(b"x", front.local_addr().unwrap()).unwrap();
        assert_eq!(batch.receive_from(front.as_fd()).unwrap(), 1);
        assert_eq!(batch.send_on(here.as_fd(), &[0], b"").unwrap(), 1);
        let refused = batch.send_on(here.as_fd(), &[0, 0], b"").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(batch.send_on(here.as_fd(), &[0], b"").unwrap(), 1);
        let refused = batch.receive_on(here.as_fd(), 0, 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
