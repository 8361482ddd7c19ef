/* What recording threads write and the views read: rings of fixed-size items, and the session they belong to. Private to trace.c and
 * trace_collect.c.
 *
 * Protocol: th__trace_lock guards the list of rings, their owners, the names and the session; th_profile_*() hold it while they
 * read. A writer takes no lock: it fills the next item and publishes it with a release store of the count. It empties its ring
 * itself when it sees a newer session. A session only changes under the lock, so no ring is emptied while somebody reads. */
#ifndef THRUM_ENGINE_TRACE_RING_H
#define THRUM_ENGINE_TRACE_RING_H

#include <uv.h>

#include "engine/kind.h"
#include "engine/trace_view.h"

enum {
  TH__TRACE_CHUNKS =
      64, /* per stream: 262,144 records, 524,288 pieces of work and blocks, 2,097,152 edges */
  TH__TRACE_CHUNK_BYTES = 256 * 1024,
  TH__TRACE_CACHED_NAMES = 64
};

/* One record: a cache line. Edges lie in a stream of their own, n_edges for each record in their order. */
typedef struct th__trace_record {
  uint64_t id;  /* of a task: lower 48 bits; above, kind and index of its device, 8 bits each */
  uint64_t ref; /* th__ref of a task, which is what edges name; the value of a counter */
  uint64_t submitted, ready, started, finished;
  uint32_t bytes; /* th__memory_pack() */
  uint16_t name;  /* index of the interned text */
  int16_t lane;   /* worker index; -1 = host; TH__TRACE_LANE + lane of a device */
  uint16_t n_reads, n_writes, n_edges;
  uint8_t kind, status; /* th__trace_kind, TH__TRACE_OK and so on */
} th__trace_record;

_Static_assert(sizeof(th__trace_record) == 64, "a cache line");
enum { TH__TRACE_LANE = 0x4000 };
#define TH__TRACE_ID ((UINT64_C(1) << 48) - 1)

/* What is known of a task beside its stamps, by its id; whoever has it writes it. */
typedef struct th__trace_work_item {
  uint64_t id;
  int64_t flops, moved; /* moved -1: the task found no memory first at tick `flops` */
  uint32_t note;        /* index of the interned text, TH__TRACE_NO_NOTE = none */
} th__trace_work_item;

/* A block of a device's memory was taken, or given back (bytes < 0). */
typedef struct th__trace_change {
  uint64_t at, block;
  int64_t bytes;
  uint16_t name; /* who took it */
  uint8_t device_kind, device_index;
} th__trace_change;

typedef struct th__trace_stream {
  void *chunks[TH__TRACE_CHUNKS];
  _Atomic uint64_t count; /* release by the owner pairs with acquire by readers */
} th__trace_stream;

typedef struct th__trace_name_entry {
  const char *name; /* as given; may dangle, so it only chooses the entry */
  const char *text; /* our copy, compared with the content on every hit */
  uint32_t index;
} th__trace_name_entry;

typedef struct th__trace_note_entry {
  uint64_t key[2];
  uint32_t note; /* 1 + index of the interned text; 0 = free */
} th__trace_note_entry;

typedef struct th__trace_ring {
  struct th__trace_ring *next; /* under lock */
  bool owned;                  /* under lock */
  uint32_t index;              /* constant */
  _Atomic uint32_t session;    /* release by the owner pairs with acquire by readers */
  _Atomic uint64_t dropped;    /* written by the owner */
  th__trace_stream records, edges, works, blocks;
  th__trace_name_entry names[TH__TRACE_CACHED_NAMES],
      notes[TH__TRACE_CACHED_NAMES];                  /* owner only, as the next */
  th__trace_note_entry keyed[TH__TRACE_CACHED_NAMES]; /* notes by key */
  uint16_t
      of_kinds[TH__KINDS]; /* of kinds whose names last: 1 + index of the text; 0 = not yet met */
} th__trace_ring;

extern uv_mutex_t th__trace_lock;
/* Under the lock. */
extern th__trace_ring *th__trace_rings;
extern bool th__trace_forked;
typedef struct th__trace_session {
  uint32_t what;
  uint64_t begin_ticks;
  int64_t begin_ns;
} th__trace_session;
extern th__trace_session th__trace_newest;
/* Records of threads that got no ring. */
extern _Atomic uint64_t th__trace_lost;

/* Memory for a stream, TH__TRACE_CHUNK_BYTES; NULL when there is none, and the thread's error stays as it was. */
void *th__trace_chunk(void);
void th__trace_chunks_free(void);   /* all of them; no ring may be left */
void th__trace_chunks_forget(void); /* after a fork: they are the parent's */

/* Under the lock. A ring of another session holds nothing of this one. */
bool th__trace_ring_is_current(const th__trace_ring *ring);

/* Item i of a stream that has it. */
static inline const void *th__trace_item(const th__trace_stream *s, size_t size, uint64_t i) {
  size_t per_chunk = TH__TRACE_CHUNK_BYTES / size;
  return (const char *)s->chunks[i / per_chunk] + i % per_chunk * size;
}

#endif
