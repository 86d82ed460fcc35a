/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Calls every function of liveupdate.h beside a luod, with what is right and with what is wrong, and ends with the
 * number of the first line that is not as the header says. Run as: calls SOCKET
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liveupdate.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUST(condition)                                                                        \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition,             \
				liveupdate_error_message());                                   \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

/* The layout that a program compiled today counts on, for ever. */
_Static_assert(sizeof(struct liveupdate_memfd_spec) == 56, "spec");
_Static_assert(offsetof(struct liveupdate_memfd_spec, seals) == 20, "spec.seals");
_Static_assert(offsetof(struct liveupdate_memfd_spec, reserved) == 24, "spec.reserved");
_Static_assert(sizeof(struct liveupdate_item) == 24, "item");
_Static_assert(offsetof(struct liveupdate_item, size_bytes) == 16, "item.size_bytes");
_Static_assert(sizeof(struct liveupdate_event) == 80, "event");
_Static_assert(offsetof(struct liveupdate_event, update_id) == 16, "event.update_id");

static int said(const char *part)
{
	return strstr(liveupdate_error_message(), part) != NULL;
}

/* What is refused before luod is asked. */
static void wrong_parameters(const char *socket)
{
	struct liveupdate_store *store = NULL;

	MUST(liveupdate_error_message()[0] == '\0');
	MUST(liveupdate_connect_to("/nonexistent", "c", 0, &store) == -ECONNREFUSED);
	MUST(said("/nonexistent") && liveupdate_error_refusal() == 0);
	MUST(liveupdate_connect_to(NULL, "c", 0, &store) == -EINVAL && said("socket is null"));
	MUST(liveupdate_connect_to(socket, NULL, 0, &store) == -EINVAL && said("service is null"));
	MUST(liveupdate_connect_to(socket, "c", 0, NULL) == -EINVAL && said("store is null"));
	MUST(liveupdate_connect_to(socket, "\xff", 0, &store) == -EINVAL && said("utf-8"));
	MUST(liveupdate_connect_to(socket, "bad/name", 0, &store) == -EINVAL);
	/* That was luod's refusal, with the exit code that luoctl has for it. */
	MUST(liveupdate_error_refusal() == 2 && said("bad/name"));
	MUST(liveupdate_direct("", &store) == -EINVAL || liveupdate_direct("", &store) == -ENODEV ||
	     liveupdate_direct("", &store) == -ENOENT || liveupdate_direct("", &store) == -EACCES);
	MUST(liveupdate_direct(NULL, &store) == -EINVAL);
	MUST(store == NULL);
	MUST(liveupdate_running(NULL) == -EINVAL && liveupdate_finish(NULL) == -EINVAL);
	MUST(liveupdate_name_count(NULL) == -EINVAL);
	MUST(liveupdate_events_fd(NULL) == -EINVAL);
	MUST(strcmp(liveupdate_strerror(-EEXIST), "the name is taken") == 0);
	MUST(strcmp(liveupdate_strerror(0), "no error") == 0);
	MUST(liveupdate_strerror(-12345)[0] != '\0');
	liveupdate_close(NULL);
	liveupdate_events_close(NULL);
	liveupdate_unpreserve(NULL);
}

/* Memory, over the end of the connection. */
static void memory(const char *socket)
{
	struct liveupdate_memfd_spec spec = LIVEUPDATE_MEMFD_SPEC(8192);
	struct liveupdate_memfd_spec other = spec;
	struct liveupdate_item item = { 0 };
	struct liveupdate_store *store;
	char name[LIVEUPDATE_NAME_SIZE];
	struct stat before, after;

	MUST(liveupdate_connect_to(socket, "c-memory", 20000, &store) == 0);
	MUST(liveupdate_name_count(store) == 0);
	MUST(liveupdate_kept(store, "a", &spec, &item) == -ENOENT && said("\"a\""));
	other.reserved[3] = 1;
	MUST(liveupdate_memfd(store, "a", &other, &item) == -EINVAL && said("initialised"));
	MUST(liveupdate_memfd(store, NULL, &spec, &item) == -EINVAL && said("name is null"));
	MUST(liveupdate_memfd(store, "a", NULL, &item) == -EINVAL && said("spec is null"));
	MUST(liveupdate_memfd(store, "a", &spec, NULL) == -EINVAL && said("item is null"));

	MUST(liveupdate_memfd(store, "a", &spec, &item) == 0);
	MUST(item.origin == LIVEUPDATE_NEW && item.size_bytes == 8192 && item.schema == 0);
	MUST(fcntl(item.fd, F_GETFD) == FD_CLOEXEC);
	MUST((fcntl(item.fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW));
	MUST(pwrite(item.fd, "kept", 4, 0) == 4 && fstat(item.fd, &before) == 0 && close(item.fd) == 0);

	/* A second program may not have the name; an ended one's is there again. */
	liveupdate_close(store);
	MUST(liveupdate_connect_to(socket, "c-memory", 20000, &store) == 0);
	MUST(liveupdate_kept(store, "a", &spec, &item) == 0 && item.origin == LIVEUPDATE_KEPT);
	MUST(pread(item.fd, name, 4, 0) == 4 && memcmp(name, "kept", 4) == 0);
	MUST(fstat(item.fd, &after) == 0 && before.st_ino == after.st_ino && close(item.fd) == 0);

	other = spec;
	other.size_bytes = 4096;
	MUST(liveupdate_memfd(store, "a", &other, &item) == -EMSGSIZE && said("8192"));
	other.flags = LIVEUPDATE_ANY_SIZE;
	MUST(liveupdate_memfd(store, "a", &other, &item) == 0 && item.size_bytes == 8192 && close(item.fd) == 0);
	other.schema_min = other.schema_max = 7;
	MUST(liveupdate_memfd(store, "a", &other, &item) == -EPROTONOSUPPORT && said("schema 0"));

	/* A file of one's own stays one's own. */
	int own = memfd_create("own", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	MUST(own >= 0 && ftruncate(own, 4096) == 0);
	MUST(liveupdate_keep(store, "b", own, &spec) == 0 && fcntl(own, F_GETFD) >= 0 && close(own) == 0);
	MUST(liveupdate_keep(store, "c", own, &spec) == -EBADF && liveupdate_keep(store, "c", -1, &spec) == -EBADF);
	int pipes[2];
	MUST(pipe(pipes) == 0 && liveupdate_keep(store, "c", pipes[0], &spec) == -EOPNOTSUPP);
	MUST(liveupdate_error_refusal() == 12);

	MUST(liveupdate_name_count(store) == 2);
	MUST(liveupdate_name(store, 0, name) == 0 && strcmp(name, "a") == 0);
	MUST(liveupdate_name(store, 1, name) == 0 && strcmp(name, "b") == 0);
	MUST(liveupdate_name(store, 2, name) == -ENOENT && liveupdate_name(store, 0, NULL) == -EINVAL);
	MUST(liveupdate_forget(store, "b") == 0 && liveupdate_forget(store, "b") == -ENOENT);
	MUST(liveupdate_name_count(store) == 1);

	MUST(liveupdate_running(store) == 0 && liveupdate_discard(store, "a") == 0);
	MUST(liveupdate_finish(store) == 0);
	struct liveupdate_preserved *preserved;
	MUST(liveupdate_preserve(store, &preserved) == -EOPNOTSUPP && said("luod"));
	liveupdate_close(store);
}

/* The stream, as far as there is no update. */
static void events(const char *socket)
{
	struct liveupdate_events *events;
	struct liveupdate_event event;
	struct liveupdate_store *store;

	MUST(liveupdate_connect_to(socket, "c-events", 20000, &store) == 0);
	MUST(liveupdate_events_open(store, NULL) == -EINVAL && liveupdate_events_open(NULL, &events) == -EINVAL);
	MUST(liveupdate_events_open(store, &events) == 0);
	MUST(fcntl(liveupdate_events_fd(events), F_GETFD) == FD_CLOEXEC);
	MUST(liveupdate_events_next(events, NULL) == -EINVAL && liveupdate_events_next(NULL, &event) == -EINVAL);
	MUST(liveupdate_events_ready(events) == -EINVAL && said("no step waits"));
	MUST(liveupdate_events_veto(events, "no") == -EINVAL && liveupdate_events_veto(events, NULL) == -EINVAL);
	liveupdate_events_close(events);
	liveupdate_close(store);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	wrong_parameters(argv[1]);
	memory(argv[1]);
	events(argv[1]);
	puts("every call is as the header says");
	return 0;
}
