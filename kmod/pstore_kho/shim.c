// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The part of pstore_kho that Rust has no bindings for (v7.3):
 *
 * - struct pstore_info has a lock and a mutex in it, whose sizes depend on the kernel's
 *   configuration, and struct pstore_record has a bool and an enum; both are laid out by the
 *   compiler here, and nowhere by hand.
 * - phys_to_virt() and pfn_valid() are inline functions and macros.
 * - The KHO functions that shim.rs declares by hand are compared with the kernel's headers.
 *
 * There is no decision in here: those are in Rust.
 */
#include <linux/build_bug.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pstore.h>
#include <linux/slab.h>

#include "shim.h"

#ifndef CONFIG_KEXEC_HANDOVER
#error "this kernel has no kexec handover (CONFIG_KEXEC_HANDOVER)"
#endif
#if !IS_ENABLED(CONFIG_PSTORE)
#error "this kernel has no pstore (CONFIG_PSTORE)"
#endif
#ifndef CONFIG_64BIT
#error "only kernels of 64 bits have kexec handover"
#endif

/* What shim.rs declares is what this kernel has. */
#define SAME_PROTOTYPE(function, ...) \
	static_assert(__builtin_types_compatible_p(typeof(&function), __VA_ARGS__), \
		      #function " is not what shim.rs says")

SAME_PROTOTYPE(kho_is_enabled, bool (*)(void));
SAME_PROTOTYPE(kho_alloc_preserve, void *(*)(size_t));
SAME_PROTOTYPE(kho_unpreserve_free, void (*)(void *));
SAME_PROTOTYPE(kho_add_subtree, int (*)(const char *, void *, size_t));
SAME_PROTOTYPE(kho_remove_subtree, void (*)(void *));
SAME_PROTOTYPE(kho_retrieve_subtree, int (*)(const char *, phys_addr_t *, size_t *));
static_assert(sizeof(phys_addr_t) == 8);
static_assert(sizeof(size_t) == 8);
static_assert(sizeof(struct pstore_kho_view) == 48);
static_assert(offsetof(struct pstore_kho_view, text) == 32);

/*
 * Where memory of the previous kernel is, or NULL when that cannot be: it is not the start of a
 * page, it is longer than any block of memory, or not all of it is memory.
 */
const void *pstore_kho_map(phys_addr_t phys, size_t size)
{
	unsigned long pfn, end;

	if (!PAGE_ALIGNED(phys) || !size || size > (PAGE_SIZE << MAX_PAGE_ORDER) ||
	    phys + size < phys)
		return NULL;
	end = PHYS_PFN(phys + size - 1);
	for (pfn = PHYS_PFN(phys); pfn <= end; pfn++)
		if (!pfn_valid(pfn))
			return NULL;
	return phys_to_virt(phys);
}

static int shim_open(struct pstore_info *psi)
{
	pstore_kho_rewind(psi->data);
	return 0;
}

static ssize_t shim_read(struct pstore_record *record)
{
	struct pstore_kho_view view = {};
	int found = pstore_kho_next(record->psi->data, &view);

	if (found <= 0)
		return found;
	record->buf = kvmemdup(view.text, view.size, GFP_KERNEL);
	if (!record->buf)
		return -ENOMEM;
	record->type = PSTORE_TYPE_DMESG;
	record->id = view.id;
	record->time.tv_sec = view.time_sec;
	record->time.tv_nsec = view.time_nsec;
	record->count = view.count;
	record->reason = view.reason;
	record->part = view.part;
	record->compressed = view.compressed;
	return view.size;
}

/* Called with buf_lock held: no two at a time, and no sleep. */
static int shim_write(struct pstore_record *record)
{
	struct pstore_kho_view view = {
		.time_sec = record->time.tv_sec,
		.time_nsec = record->time.tv_nsec,
		.count = record->count,
		.reason = record->reason,
		.part = record->part,
		.compressed = record->compressed,
		.text = record->buf,
		.size = record->size,
	};

	if (record->type != PSTORE_TYPE_DMESG || record->size < 0)
		return -EINVAL;
	return pstore_kho_store(record->psi->data, &view);
}

static struct pstore_info shim_info = {
	.owner = THIS_MODULE,
	.name = "kho",
	.flags = PSTORE_FLAGS_DMESG,
	.open = shim_open,
	.read = shim_read,
	.write = shim_write,
};

int pstore_kho_register(void *backend, char *buf, size_t bufsize, int max_reason)
{
	shim_info.data = backend;
	shim_info.buf = buf;
	shim_info.bufsize = bufsize;
	shim_info.max_reason = max_reason;
	return pstore_register(&shim_info);
}

void pstore_kho_unregister(void)
{
	pstore_unregister(&shim_info);
}
