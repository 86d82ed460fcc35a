//! Regions of `reserve_mem=`, as `mm/memblock.c` (v7.3) hands them over.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec;

use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node as _, Property as _};
use kho::{PhysAddr, PhysMem};
use kho_abi::memblock::{
    COMPATIBLE, MAX_REGIONS, REGION_COMPATIBLE, SIZE_PROP_NAME, START_PROP_NAME,
};

use crate::event::{Event, Owner, Region};
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
    let fdt = match kho::fdt::read(&blob) {
        Ok(fdt) => fdt,
        Err(error) => return reader.problem(Problem::Memblock(error.to_string())),
    };
    let root = fdt.root();
    if !is_compatible(&root, COMPATIBLE) {
        return reader.problem(Problem::Memblock(format!("it is not \"{COMPATIBLE}\"")));
    }
    for node in root.children().take(MAX_REGIONS) {
        let value = |name| {
            let property = node.property(name)?;
            let value = property.value().try_into().ok()?;
            Some(u64::from_ne_bytes(value))
        };
        let label = node.name();
        let complete = is_compatible(&node, REGION_COMPATIBLE)
            .then(|| value(START_PROP_NAME).zip(value(SIZE_PROP_NAME)))
            .flatten();
        let Some((start, bytes)) = complete else {
            reader.problem(Problem::Memblock(format!(
                "region \"{label}\" is not complete"
            )));
            continue;
        };
        let region = Region {
            label: label.to_string(),
            start: PhysAddr(start),
            bytes,
        };
        reader.tell(Event::Region(&region));
        let page_bytes = u64::try_from(page_bytes).unwrap_or(u64::MAX);
        let pages = bytes.div_ceil(page_bytes);
        let (what, addr) = ("a reserve_mem region", region.start);
        match reader.claim_pages(addr, pages, Owner::ReserveMem) {
            Claim::First(_) => {}
            Claim::Again(_) => reader.problem(Problem::UsedTwice { what, addr }),
            Claim::None => reader.problem(Problem::NotPreserved { what, addr }),
        }
    }
}

fn is_compatible(node: &FdtNode<'_>, with: &str) -> bool {
    let property = node.property("compatible");
    let value = property.as_ref().map(|property| property.value());
    let mut names = value.unwrap_or_default().split(|&byte| byte == 0);
    names.any(|name| name == with.as_bytes())
}
