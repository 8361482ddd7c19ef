/* Owns memory of programs that a device knows: registered pages of the host. They stay the program's: when their context goes, by a
 * reset or a shutdown, they are ordinary memory again, and copies go through staging blocks. What pin answers is the generation of the
 * context. The lock keeps the context from changing meanwhile; the pools' locks may be taken inside it. */
#include <pthread.h>

#include "devices/cuda/parts.h"
#include "engine/base/error.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void th__cuda_pins_lock(void) { pthread_mutex_lock(&lock); }

void th__cuda_pins_unlock(void) { pthread_mutex_unlock(&lock); }

th_status th__cuda_pin(void *state, void *memory, int64_t bytes, uint64_t *out) {
  th__cuda_device *d = state;
  th__cuda_pins_lock();
  th_status status = th__cuda_alive(d);
  if (status == TH_OK && !th__cuda_push_context(d))
    status = th__fail(TH_EDEVICE, "cuda:%d: no context to pin memory in", d->index);
  if (status == TH_OK) {
    status = th__cuda_check(
        d, th__cu.host_register(memory, (size_t)bytes, TH__CU_REGISTER_PORTABLE), "pinned memory");
    *out = d->generation;
    th__cuda_pop_context(d);
  }
  th__cuda_pins_unlock();
  return status;
}

void th__cuda_unpin(void *state, void *memory, uint64_t pinned) {
  th__cuda_device *d = state;
  if (d->process != th__load(&th__spin_process, TH__RELAXED)) return; /* a forked child's */
  th__cuda_pins_lock();
  if (d->generation == pinned && th__cuda_push_context(d)) {
    (void)th__cu.host_unregister(memory);
    th__cuda_pop_context(d);
  }
  th__cuda_pins_unlock();
}
