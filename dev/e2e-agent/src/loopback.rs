//! Brings the loopback interface up, by one routing message: no helper program, no ioctl.

use std::time::Duration;

use anyhow::Context as _;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `RTM_NEWLINK` (`include/uapi/linux/rtnetlink.h`): changes an interface, too.
const RTM_NEWLINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK` (`include/uapi/linux/netlink.h`).
const REQUEST_ACK: u16 = 0x1 | 0x4;
/// `NLMSG_ERROR`: also the acknowledgement, with error 0.
const NLMSG_ERROR: u16 = 2;
/// Index of `lo`: the first interface of every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK_INDEX: i32 = 1;
/// `IFF_UP` (`include/uapi/linux/if.h`).
const IFF_UP: u32 = 1;
/// `struct nlmsghdr` and `struct ifinfomsg`, 16 bytes each.
const MESSAGE_LEN: u32 = 32;

/// Sets `IFF_UP` on `lo`; the kernel then gives it 127.0.0.1 and `::1` by itself.
pub(crate) fn bring_up() -> anyhow::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0, the default.
        None,
    )
    .context("open a routing socket")?;
    let patience = Some(Duration::from_secs(5));
    set_socket_timeout(&socket, Timeout::Recv, patience).context("limit the wait")?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &request(), SendFlags::empty(), &kernel)
        .context("send RTM_NEWLINK")?;
    let mut answer = [0; 256];
    let (len, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())
        .context("wait for the answer to RTM_NEWLINK")?;
    match answered_errno(answer.get(..len).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(errno) => Err(std::io::Error::from_raw_os_error(errno)).context("RTM_NEWLINK"),
        None => {
            anyhow::bail!("the answer to RTM_NEWLINK has {len} bytes and is no acknowledgement")
        }
    }
}

fn request() -> Vec<u8> {
    let mut message = Vec::new();
    // struct nlmsghdr: len, type, flags, sequence, port
    message.extend_from_slice(&MESSAGE_LEN.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_ACK.to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&0_u32.to_ne_bytes());
    // struct ifinfomsg: family, padding, type, index, flags, change mask
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&LOOPBACK_INDEX.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message
}

/// The positive errno of an `NLMSG_ERROR`; `None` for anything else.
fn answered_errno(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then(|| error.saturating_neg())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_has_the_length_it_states() {
        assert_eq!(request().len(), 32);
    }

    #[test]
    fn only_an_acknowledgement_is_success() {
        let mut answer = [0; 36];
        assert_eq!(answered_errno(&answer), None);
        answer[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(answered_errno(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(answered_errno(&answer), Some(1));
        assert_eq!(answered_errno(&answer[..18]), None);
    }
}
