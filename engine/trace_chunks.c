/* Owns the memory of trace rings: blocks of huge pages, handed out in chunks that rings keep until shutdown. `lock` guards all. A
 * fresh small page costs an operation's record more than everything else about it. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/trace_ring.h"

enum { MOST_BLOCKS = 4096, CHUNKS = TH__HUGE_PAGE / TH__TRACE_CHUNK_BYTES };

static th__spin lock;
static char *blocks[MOST_BLOCKS];
static uint32_t n_blocks, n_used; /* chunks of the last block that are handed out */

void *th__trace_chunk(void) {
  void *chunk = NULL;
  th__last_error saved = *th__error_slot();
  th__spin_lock(&lock);
  if ((n_blocks == 0 || n_used == CHUNKS) && n_blocks < MOST_BLOCKS &&
      (blocks[n_blocks] = th__pages_huge(TH__HUGE_PAGE)) != NULL) {
    n_blocks++;
    n_used = 0;
  }
  if (n_blocks > 0 && n_used < CHUNKS)
    chunk = blocks[n_blocks - 1] + (size_t)TH__TRACE_CHUNK_BYTES * n_used++;
  th__spin_unlock(&lock);
  if (chunk == NULL)
    *th__error_slot() = saved; /* recording does not disturb what a thread has to show */
  return chunk;
}

void th__trace_chunks_free(void) {
  th__spin_lock(&lock);
  while (n_blocks > 0) th__pages_free(blocks[--n_blocks], TH__HUGE_PAGE);
  th__spin_unlock(&lock);
}

void th__trace_chunks_forget(void) { n_blocks = 0; }
