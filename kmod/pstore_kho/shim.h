/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the two halves of pstore_kho say to each other: integers and pointers, no structure of the
 * kernel. shim.rs has the same, and both assert the layout.
 */
#ifndef PSTORE_KHO_SHIM_H
#define PSTORE_KHO_SHIM_H

#include <linux/types.h>

/* A record of pstore, without what depends on the kernel's configuration; 48 bytes. */
struct pstore_kho_view {
	s64 time_sec;
	u32 time_nsec;
	s32 count;
	u32 reason;
	u32 part;
	u32 compressed;
	u32 id;
	const void *text;
	u64 size;
};

/* In shim.c. */
const void *pstore_kho_map(phys_addr_t phys, size_t size);
int pstore_kho_register(void *backend, char *buf, size_t bufsize, int max_reason);
void pstore_kho_unregister(void);

/* In shim.rs. */
void pstore_kho_rewind(const void *backend);
int pstore_kho_next(const void *backend, struct pstore_kho_view *view);
int pstore_kho_store(const void *backend, const struct pstore_kho_view *view);

#endif
