/* Owns storages: their memory, from the first task that needs it to the last that used it. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"

/* Up to this size the device's limit is not asked at the call: figures cost more than the answer is worth. */
#define UNCHECKED_BYTES 65536

static bool within_limit(const th__device_ops *ops, void *state, int64_t bytes) {
  if (bytes <= UNCHECKED_BYTES) return true;
  th_memory_info info;
  ops->memory(state, &info);
  return info.limit <= 0 || bytes <= info.limit;
}

th_storage *th__storage_new(th_device d, int64_t bytes) {
  const th__device_ops *ops;
  void *state;
  char name[32];
  if (th__device_open(d, &ops, &state) != TH_OK) return NULL;
  if (!within_limit(ops, state, bytes))
    return th__fail_null(TH_ENOMEM, "%lld bytes are more than %s may ever hold", (long long)bytes,
                         th_device_name(d, name, sizeof name));
  th_storage *s = th__zalloc(sizeof *s);
  if (!s) return NULL;
  th__store(&s->refs, 1, TH__RELAXED);
  s->device = d;
  s->bytes = bytes;
  s->ops = ops;
  s->state = state;
  th__var_init(&s->var);
  return s;
}

/* Nobody uses s any more. */
static void storage_end(void *arg) {
  th_storage *s = arg;
  void *data = th__load(&s->data, TH__ACQUIRE);
  if (s->wrapped) {
    if (s->deleter) s->deleter(s->deleter_data, s->deleter_user);
  } else if (data) {
    s->ops->free(s->state, data, s->bytes);
    th__memory_freed();
  }
  th__free(s);
}

void th__storage_release(th_storage *s) {
  /* acq_rel: what other holders did comes before the end. */
  if (s && th__fetch_sub(&s->refs, 1, TH__ACQ_REL) == 1) th__var_retire(&s->var, storage_end, s);
}

th_status th__storage_ensure(th_storage *s, th_task_context *context) {
  if (th__load(&s->data, TH__ACQUIRE) || s->bytes == 0) return TH_OK;
  void *block = NULL, *none = NULL;
  th_status status = s->ops->alloc(s->state, s->bytes, &block);
  if (status == TH_OK) {
    /* Release: a reader that meets the block sees it as the pool left it. Another first reader may have won. */
    if (!th__cas(&s->data, &none, block, TH__ACQ_REL)) s->ops->free(s->state, block, s->bytes);
    return TH_OK;
  }
  if (status != TH_ENOMEM) return status;
  if (context && !th__context_last_chance(context)) return TH__STARVED;
  char name[32];
  return th__fail(TH_ENOMEM, "no memory for %lld bytes on %s", (long long)s->bytes,
                  th_device_name(s->device, name, sizeof name));
}
