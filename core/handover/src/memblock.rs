//! Regions of `reserve_mem=`.

use alloc::string::ToString as _;
use alloc::vec;

use kho::{PhysAddr, PhysMem};

use crate::event::{Event, Owner};
use crate::examine::Reader;
use crate::preserved::Claim;
use crate::problem::Problem;

/// The blob is one page; a longer claim is not believed.
pub(crate) fn read<M: PhysMem>(reader: &mut Reader<'_, '_, M>, addr: PhysAddr, bytes: u64) {
    let page_bytes = reader.mem.page_size().bytes();
    let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(page_bytes);
    let mut blob = vec![0; length];
    if let Err(error) = reader.mem.read(addr, &mut blob) {
        return reader.unreadable("the FDT of reserve_mem regions", error);
    }
    let regions = match kho::memblock::read(&blob) {
        Ok(regions) => regions,
        Err(error) => return reader.problem(Problem::Memblock(error.to_string())),
    };
    for region in regions {
        let region = match region {
            Ok(region) => region,
            Err(error) => {
                reader.problem(Problem::Memblock(error.to_string()));
                continue;
            }
        };
        reader.tell(Event::Region(&region));
        let page_bytes = u64::try_from(page_bytes).unwrap_or(u64::MAX);
        let pages = region.bytes.div_ceil(page_bytes);
        let (what, addr) = ("a reserve_mem region", region.start);
        match reader.claim_pages(addr, pages, Owner::ReserveMem) {
            Claim::First(_) => {}
            Claim::Again(_) => reader.problem(Problem::UsedTwice { what, addr }),
            Claim::None => reader.problem(Problem::NotPreserved { what, addr }),
        }
    }
}
