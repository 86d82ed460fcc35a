/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * liveupdate.h - keep memory over a service's restart, luod's restart and a live update of the kernel.
 *
 * Link with -lliveupdate (pkg-config --cflags --libs liveupdate).
 *
 * Results. A function that returns int returns 0 or a count on success and a negative errno otherwise. What the
 * number cannot say is in liveupdate_error_message(), which is about the last call that failed in this thread. The place
 * for a result is written to on success only.
 *
 * Descriptors. One that the library hands out in a struct liveupdate_item is the caller's, who closes it; closing it
 * gives nothing up, luod has a duplicate. One that is handed in stays the caller's. The descriptor of
 * liveupdate_events_fd() is the library's. All have close-on-exec.
 *
 * Objects. Each is freed with the function that says so; null is fine there. A store or a stream may be used by
 * several threads, which wait for each other; nobody may use it while or after it is freed. A process that forks uses
 * them in one of the two processes only.
 *
 * Texts are UTF-8, end with a zero byte and are read during the call only.
 */
#ifndef LIVEUPDATE_H
#define LIVEUPDATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIVEUPDATE_VERSION_MAJOR 0
#define LIVEUPDATE_VERSION_MINOR 1
#define LIVEUPDATE_VERSION_PATCH 0

/* Size of a place for an item's name, with the zero at its end. */
#define LIVEUPDATE_NAME_SIZE 256
/* Size of a place for the identity of an update, with the zero at its end. */
#define LIVEUPDATE_ID_SIZE 64

/* Everything kept under one service's name. */
struct liveupdate_store;
/* The steps of updates, as they come. */
struct liveupdate_events;
/* The items of a direct store, preserved for the next kernel. */
struct liveupdate_preserved;

/* A kept memfd may have any size; size_bytes is that of a new one. */
#define LIVEUPDATE_ANY_SIZE 0x1u
/* Losing it over a jump is no error. */
#define LIVEUPDATE_OPTIONAL 0x2u

/* A memfd as a program wants it. */
struct liveupdate_memfd_spec {
	uint64_t size_bytes;  /* of a new one, and of a kept one unless LIVEUPDATE_ANY_SIZE */
	uint32_t schema_min;  /* versions of the content that the program understands; */
	uint32_t schema_max;  /* what it makes anew has this one */
	uint32_t flags;       /* LIVEUPDATE_ANY_SIZE, LIVEUPDATE_OPTIONAL */
	uint32_t seals;       /* F_SEAL_* of a new one; 0x6, F_SEAL_SHRINK | F_SEAL_GROW, fixes its size */
	uint64_t reserved[4]; /* zero */
};

/* What it is unless said otherwise: of this size for ever, schema 0, required. */
#define LIVEUPDATE_MEMFD_SPEC(size) { .size_bytes = (size), .seals = 0x6 }

/* Where an item comes from. */
#define LIVEUPDATE_NEW 0u     /* made just now, all zero */
#define LIVEUPDATE_KEPT 1u    /* kept while the program was restarted on this kernel */
#define LIVEUPDATE_UPDATED 2u /* came over from the previous kernel */

/* A memfd with what is known of it. */
struct liveupdate_item {
	int32_t fd;        /* the caller's */
	uint32_t origin;   /* LIVEUPDATE_NEW, _KEPT or _UPDATED */
	uint32_t schema;   /* version of its content */
	uint32_t reserved; /* zero */
	uint64_t size_bytes;
};

/* Steps of an update. */
#define LIVEUPDATE_PREPARE 0u /* what is kept is being preserved; its size is fixed; go on working. Wants an answer. */
#define LIVEUPDATE_FREEZE 1u  /* stop changing what is kept, then answer: the jump follows. */
#define LIVEUPDATE_CANCEL 2u  /* the update was given up: go on as before. Wants no answer. */

/* One step of one update. */
struct liveupdate_event {
	uint32_t kind;        /* LIVEUPDATE_PREPARE, _FREEZE or _CANCEL */
	uint32_t reserved;    /* zero */
	uint64_t deadline_ms; /* time there is to answer; 0 where no answer is wanted */
	char update_id[LIVEUPDATE_ID_SIZE];
};

/*
 * The store of a service, kept by luod at its usual socket ($LIVEUPDATE_SOCKET or /run/luod/liveupdate.sock). Waits
 * ten seconds for luod to start. -ECONNREFUSED: nobody listens there; -EINVAL: the name is bad; -EEXIST: another program
 * or user has it. Free it with liveupdate_close().
 */
int liveupdate_connect(const char *service, struct liveupdate_store **store);

/* The same at another socket, waiting for it this long. */
int liveupdate_connect_to(const char *socket, const char *service, uint32_t patience_ms,
			  struct liveupdate_store **store);

/*
 * A store without luod, for the only user of /dev/liveupdate: an initramfs, a test. The name is that of a kernel session,
 * of 1 to 63 bytes. What is to go over is preserved with liveupdate_preserve().
 */
int liveupdate_direct(const char *session, struct liveupdate_store **store);

/* Frees a store. What luod keeps is still kept; what a direct store holds is let go. */
void liveupdate_close(struct liveupdate_store *store);

/*
 * The memfd kept under a name, or a new one as the spec says, which is kept from now on. Nothing kept is ever replaced
 * by a new one in silence: -EPROTONOSUPPORT is another schema, -EMSGSIZE another size, -ENODATA lost on the way, -EUCLEAN
 * not what was kept.
 */
int liveupdate_memfd(struct liveupdate_store *store, const char *name,
		     const struct liveupdate_memfd_spec *spec, struct liveupdate_item *item);

/* What is kept under a name, and nothing new: -ENOENT when nothing is. */
int liveupdate_kept(struct liveupdate_store *store, const char *name,
		    const struct liveupdate_memfd_spec *spec, struct liveupdate_item *item);

/*
 * Gives a file of the program's own making into keeping: a memfd, or an unlinked file on tmpfs. What was kept under
 * the name is replaced. Of the spec the schema and LIVEUPDATE_OPTIONAL count. -EOPNOTSUPP: no kernel preserves such a file.
 */
int liveupdate_keep(struct liveupdate_store *store, const char *name, int fd,
		    const struct liveupdate_memfd_spec *spec);

/* No longer keeps what is kept under a name. */
int liveupdate_forget(struct liveupdate_store *store, const char *name);

/* How many names there are. */
int liveupdate_name_count(struct liveupdate_store *store);

/* The name of this number, from 0; -ENOENT beyond the last. Keeping and forgetting changes the numbers. */
int liveupdate_name(struct liveupdate_store *store, size_t number, char name[LIVEUPDATE_NAME_SIZE]);

/* The service works again: the end of its blackout, for the report. */
int liveupdate_running(struct liveupdate_store *store);

/* What came over under this name is not wanted: the next liveupdate_finish() gives it up. */
int liveupdate_discard(struct liveupdate_store *store, const char *name);

/*
 * Everything wanted is here and the service runs: lets go of the previous kernel's session. Until then the next update
 * is refused. -ENOTEMPTY: something came over that was neither asked for nor discarded.
 */
int liveupdate_finish(struct liveupdate_store *store);

/*
 * Takes part in updates from now on: each waits for this program's answers, and ending the program in the middle
 * of one cancels it. Free it with liveupdate_events_close().
 */
int liveupdate_events_open(struct liveupdate_store *store, struct liveupdate_events **events);

/* Readable when a step, or the end of luod, waits. */
int liveupdate_events_fd(struct liveupdate_events *events);

/* Waits for the next step. 1: there is one; 0: luod ended, everything is still kept, connect again. */
int liveupdate_events_next(struct liveupdate_events *events, struct liveupdate_event *event);

/* Ready for what follows the last step. -EINVAL: none waits for an answer. */
int liveupdate_events_ready(struct liveupdate_events *events);

/* Refuses the last step: the update is cancelled, and the operator reads the reason. */
int liveupdate_events_veto(struct liveupdate_events *events, const char *reason);

/* No longer takes part in updates. */
void liveupdate_events_close(struct liveupdate_events *events);

/*
 * Preserves every item of a direct store for the next kernel, for as long as the result lives. -EOPNOTSUPP with luod,
 * which does it itself. Free it with liveupdate_unpreserve().
 */
int liveupdate_preserve(struct liveupdate_store *store, struct liveupdate_preserved **preserved);

/* Undoes liveupdate_preserve(). */
void liveupdate_unpreserve(struct liveupdate_preserved *preserved);

/*
 * What the last call that failed in this thread failed of, with its causes and what to do about it. Valid until the next
 * call that fails in this thread; empty before the first.
 */
const char *liveupdate_error_message(void);

/* The refusal of luod that it was, as an exit code of luoctl; 0 when luod did not refuse. */
int liveupdate_error_refusal(void);

/* What a negative errno of this library stands for, in a few words. */
const char *liveupdate_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
