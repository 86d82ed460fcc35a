/* What the checked headers take from the kernel's linux/types.h and from what it drags in. */
#ifndef HEADER_CHECK_TYPES_H
#define HEADER_CHECK_TYPES_H
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef u64 phys_addr_t;
typedef unsigned long size_t;
typedef _Bool bool;
enum { false, true };
#define NULL ((void *)0)
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define __packed __attribute__((__packed__))
#define BITS_PER_BYTE 8
#define static_assert _Static_assert
#define DECLARE_BITMAP(name, bits) unsigned long name[(bits) / (8 * sizeof(long))]
#endif
