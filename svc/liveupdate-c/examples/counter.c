/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * counter: a service that counts in memory which outlives it, luod and the kernel.
 *
 *     cc counter.c $(pkg-config --cflags --libs liveupdate) -o counter
 *     counter NAME [REASON]
 *
 * It counts every millisecond while nothing stops it. With a REASON it refuses every update, for that reason.
 */
#include <errno.h>
#include <inttypes.h>
#include <liveupdate.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Version of what stands in the memory. */
#define SCHEMA 1

static const char *const ORIGINS[] = { "new", "kept", "updated" };

/* Name of this service. */
static const char *name;

static int failed(const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s: %s\n", name, what, liveupdate_strerror(error), liveupdate_error_message());
	return 1;
}

/* Answers one step; whether to go on counting is in *counts. */
static int answer(struct liveupdate_events *events, const struct liveupdate_event *event,
		  const char *reason, uint64_t value, int *counts)
{
	switch (event->kind) {
	case LIVEUPDATE_PREPARE:
		printf("%s: prepare %s\n", name, event->update_id);
		return reason ? liveupdate_events_veto(events, reason) : liveupdate_events_ready(events);
	case LIVEUPDATE_FREEZE:
		*counts = 0;
		printf("%s: freeze at %" PRIu64 "\n", name, value);
		return liveupdate_events_ready(events);
	case LIVEUPDATE_CANCEL:
		*counts = 1;
		printf("%s: cancel\n", name);
		return 0;
	}
	return 0;
}

/* Counts and takes part in updates until luod ends: 0, or a negative errno. */
static int serve(struct liveupdate_store *store, volatile uint64_t *value, const char *reason)
{
	struct liveupdate_events *events;
	struct liveupdate_event event;
	int counts = 1;
	int result = liveupdate_events_open(store, &events);

	if (result < 0)
		return result;
	printf("%s: serves\n", name);
	for (;;) {
		struct pollfd waiting = { .fd = liveupdate_events_fd(events), .events = POLLIN };

		result = poll(&waiting, 1, 1);
		if (result == 0 && counts)
			++*value;
		if (result <= 0)
			continue;
		result = liveupdate_events_next(events, &event);
		if (result <= 0)
			break;
		result = answer(events, &event, reason, *value, &counts);
		if (result < 0)
			break;
	}
	liveupdate_events_close(events);
	return result;
}

/* Gets the memory, says that it is back, and serves until luod ends: 0, or a negative errno. */
static int work(struct liveupdate_store *store, const char *reason)
{
	struct liveupdate_memfd_spec spec = LIVEUPDATE_MEMFD_SPEC(4096);
	struct liveupdate_item item;
	volatile uint64_t *value;
	int result;

	spec.schema_min = spec.schema_max = SCHEMA;
	result = liveupdate_memfd(store, "value", &spec, &item);
	if (result < 0)
		return result;
	value = mmap(NULL, item.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, item.fd, 0);
	close(item.fd);
	if (value == MAP_FAILED)
		return -errno;
	printf("%s: %s at %" PRIu64 "\n", name, ORIGINS[item.origin], *value);

	result = liveupdate_running(store);
	if (result == 0)
		result = liveupdate_finish(store);
	if (result == 0)
		result = serve(store, value, reason);
	munmap((void *)value, item.size_bytes);
	return result;
}

int main(int argc, char **argv)
{
	struct liveupdate_store *store;
	int result;

	if (argc < 2) {
		fprintf(stderr, "usage: counter NAME [REASON]\n");
		return 2;
	}
	name = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* When luod ends, in whatever call that is seen, it is started again and has everything: so do we. */
	do {
		result = liveupdate_connect(name, &store);
		if (result < 0)
			return failed("connect", result);
		result = work(store, argc > 2 ? argv[2] : NULL);
		liveupdate_close(store);
	} while (result == 0 || result == -EPIPE || result == -ECONNREFUSED);
	return failed("work", result);
}
