/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * direct: counts the kernels that its memory has seen, without luod.
 *
 *     cc direct.c $(pkg-config --cflags --libs liveupdate) -o direct
 *     direct SESSION
 *
 * It is for systems with one such program, as in an initramfs: it needs root and /dev/liveupdate for itself, and has to
 * live until the jump, which somebody else does.
 */
#include <errno.h>
#include <inttypes.h>
#include <liveupdate.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Version of what stands in the memory. */
#define SCHEMA 1

static const char *const ORIGINS[] = { "new", "kept", "updated" };

/* Gets the memory and counts: 0, or a negative errno. */
static int count(struct liveupdate_store *store)
{
	struct liveupdate_memfd_spec spec = LIVEUPDATE_MEMFD_SPEC(4096);
	struct liveupdate_item item;
	uint64_t *value;
	int result;

	spec.schema_min = spec.schema_max = SCHEMA;
	result = liveupdate_memfd(store, "kernels", &spec, &item);
	if (result < 0)
		return result;
	value = mmap(NULL, item.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, item.fd, 0);
	close(item.fd);
	if (value == MAP_FAILED)
		return -errno;
	++*value;
	printf("%s, kernel number %" PRIu64 "\n", ORIGINS[item.origin], *value);
	munmap(value, item.size_bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct liveupdate_preserved *preserved;
	struct liveupdate_store *store;
	int result;

	if (argc != 2) {
		fprintf(stderr, "usage: direct SESSION\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	result = liveupdate_direct(argv[1], &store);
	if (result == 0)
		result = count(store);
	/* Everything that came over is ours now: the session it came in can go, and a new one is made. */
	if (result == 0)
		result = liveupdate_finish(store);
	if (result == 0)
		result = liveupdate_preserve(store, &preserved);
	if (result < 0) {
		fprintf(stderr, "%s: %s: %s\n", argv[1], liveupdate_strerror(result), liveupdate_error_message());
		return 1;
	}
	printf("preserved\n");
	/* The end of this process would undo that. */
	for (;;)
		pause();
}
