/* Owns writing safetensors files. A save is a chain of tasks that write one result: for each array one that hands its bytes to the
 * thread for files and ends when they are written (behind one that brings them from a device the host cannot reach), then one that
 * puts the file in its place. A failure poisons the result, so the rest of the chain is skipped. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "ndarray/array.h"
#include "ndarray/disk.h"
#include "ndarray/files.h"
#include "ndarray/target.h"
#include "ndarray/tensors.h"

struct saving;

/* One array on its way. */
typedef struct part {
  th__disk_call call; /* first: the thread knows the part by it */
  struct saving *saving;
  th_array *array; /* +1 until all tasks are submitted */
  th_storage *storage;
  int64_t offset, bytes;
  char *bounce; /* what came from a device the host cannot reach */
  th_token *token;
} part;

/* One save; freed by the last of its tasks. The target is used by one task after the other. */
typedef struct saving {
  _Atomic int32_t refs; /* the caller's and the tasks' */
  th__target target;
  int keep;
  char *header; /* NULL once it is written */
  size_t header_bytes;
  int64_t length; /* of the file */
  th_storage *result;
  int n;
  part parts[]; /* n, and one for the end */
} saving;

static void saving_release(saving *s) {
  if (th__fetch_sub(&s->refs, 1, TH__ACQ_REL) != 1) return;
  th__target_drop(&s->target);
  for (int i = 0; i < s->n; i++) th__free(s->parts[i].bounce);
  th__free(s->header);
  th__free(s);
}

static bool host_memory(const th_storage *s) { return s->ops->caps & TH__CAP_HOST_MEMORY; }

/* --- on the thread for files --- */

/* Ends p's task; p may be gone afterwards. */
static void end_task(part *p, th_status status) {
  th_token *token = p->token;
  th__last_error kept = *th__error_slot();
  /* Without memory to tell the engine of this thread: some will come. */
  while (th_token_signal(token, status, kept.text) == TH_ENOMEM) th__sleep_ns(1000000);
}

static th_status write_header(saving *s) {
  if (!s->header) return TH_OK;
  TH_TRY(th__target_write(&s->target, s->header, s->header_bytes));
  th__free(s->header);
  s->header = NULL;
  return TH_OK;
}

static void write_part(th__disk_call *call) {
  part *p = (part *)(void *)call;
  const char *data = p->bounce;
  if (!data) data = (const char *)th__load(&p->storage->data, TH__ACQUIRE) + p->offset;
  th_status status = write_header(p->saving);
  if (status == TH_OK) status = th__target_write(&p->saving->target, data, (size_t)p->bytes);
  th__free(p->bounce);
  p->bounce = NULL;
  end_task(p, status);
}

static void end_file(th__disk_call *call) {
  part *p = (part *)(void *)call;
  saving *s = p->saving;
  th_status status = write_header(s);
  if (status == TH_OK) status = th__target_commit(&s->target, s->keep);
  if (status == TH_OK) *(int64_t *)th__load(&s->result->data, TH__ACQUIRE) = s->length;
  end_task(p, status);
}

/* --- tasks --- */

static th_status post(part *p, th_task_context *context, void (*run)(th__disk_call *call)) {
  p->token = th_context_token(context);
  p->call.run = run;
  return th__disk_post(&p->call);
}

static th_status part_run(void *arg, th_task_context *context) {
  part *p = *(part **)arg;
  th_status status = p->bounce ? TH_OK : th__storage_ensure(p->storage, false, context);
  return status == TH_OK ? post(p, context, write_part) : status;
}

/* On the array's device. */
static th_status fetch_run(void *arg, th_task_context *context) {
  part *p = *(part **)arg;
  th_storage *s = p->storage;
  th_status status = th__storage_ensure(s, false, context);
  if (status != TH_OK) return status;
  if (!p->bounce) p->bounce = th__alloc((size_t)p->bytes); /* there already: tried again */
  if (!p->bounce) return TH_ENOMEM;
  return s->ops->copy_out(th__context_device_state(context), th__context_lane(context), p->bounce,
                          (const char *)th__load(&s->data, TH__ACQUIRE) + p->offset, p->bytes);
}

static th_status end_run(void *arg, th_task_context *context) {
  part *p = *(part **)arg;
  th_status status = th__storage_ensure(p->saving->result, true, context);
  return status == TH_OK ? post(p, context, end_file) : status;
}

static void drop(void *arg) { saving_release((*(part **)arg)->saving); }

/* Submits run(&p) behind all tasks of this save, reading p's array, too, when `reads`. */
static th_status push(part *p, th_task_fn run, bool reads, bool async, th_device d) {
  th_var *result = th__storage_var(p->saving->result);
  th_task task = {.name = run == end_run ? "save" : "save_array",
                  .run = run,
                  .arg = &p,
                  .arg_size = sizeof p,
                  .drop = drop,
                  .reads = (th_var *[]){result, reads ? th__storage_var(p->storage) : NULL},
                  .n_reads = reads ? 2 : 1,
                  .writes = &result,
                  .n_writes = 1,
                  .device = d,
                  .flags = async ? 0 : TH_TASK_COPY_OUT};
  th__fetch_add(&p->saving->refs, 1, TH__RELAXED);
  th_status status = async ? th_push_async(&task) : th_push(&task);
  if (status != TH_OK) saving_release(p->saving);
  return status;
}

static th_status push_part(part *p) {
  th_device d = p->storage->device;
  if (p->bytes == 0) return TH_OK;
  if (host_memory(p->storage))
    return push(p, part_run, true, true, d.kind == TH_CPU ? d : th_cpu(0));
  TH_TRY(push(p, fetch_run, true, false, d));
  return push(p, part_run, false, true, th_cpu(0));
}

/* --- the call --- */

static th_status check_arrays(th_array *const *arrays, const char *const *names, int n,
                              const char *path, const char *who) {
  if (!path) return th__fail(TH_EINVAL, "%s: path is NULL", who);
  if (n < 0) return th__fail(TH_EINVAL, "%s: %d arrays", who, n);
  if (n > 0 && (!arrays || !names))
    return th__fail(TH_EINVAL, "%s: %s is NULL", who, arrays ? "names" : "arrays");
  for (int i = 0; i < n; i++) {
    if (!arrays[i]) return th__array_null(who);
    if (!names[i]) return th__fail(TH_EINVAL, "%s: name %d is NULL", who, i);
    if (!arrays[i]->storage)
      return th__fail(TH_ENODATA, "%s: '%s' is on the meta device and has no data", who, names[i]);
  }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return th__fail(TH_ENOSYS, "%s: safetensors files have the little end first", who);
#endif
  return TH_OK;
}

/* The parts in the order in which they lie in the file, from items in the caller's. */
static th_status take_parts(saving *s, th_array *const *arrays, const int *order) {
  for (int i = 0; i < s->n; i++) {
    part *p = &s->parts[i];
    th_array *a = arrays[order[i]];
    p->array = th__layout_contiguous(&a->layout) ? th_retain(a) : th_copy(a);
    if (!p->array) return th_last_status();
    p->storage = p->array->storage;
    p->offset = p->array->layout.offset * (int64_t)th_dtype_size(p->array->layout.dtype);
    p->bytes = th__layout_bytes(&p->array->layout);
  }
  return TH_OK;
}

/* The header, and parts that know their arrays. */
static th_status lay_out(saving *s, th_array *const *arrays, const char *const *names,
                         const char *const *metadata, const char *who) {
  int64_t data = 0;
  th__tensor *items = th__alloc(((size_t)s->n + 1) * (sizeof *items + sizeof(int)));
  if (!items) return TH_ENOMEM;
  int *order = (int *)(items + s->n + 1);
  for (int i = 0; i < s->n; i++) {
    items[i] = (th__tensor){.name = names[i]};
    th__layout_copy(&items[i].layout, &arrays[i]->layout);
  }
  th_status status = th__tensors_place(items, s->n, order, &data, who);
  if (status == TH_OK) {
    s->header = th__tensors_text(items, order, s->n, metadata, who, &s->header_bytes);
    if (!s->header) status = th_last_status();
  }
  if (status == TH_OK) status = take_parts(s, arrays, order);
  s->length = data + (int64_t)s->header_bytes;
  th__free(items);
  return status;
}

static saving *saving_new(int n, int keep) {
  saving *s = th__zalloc(sizeof *s + ((size_t)n + 1) * sizeof *s->parts);
  if (!s) return NULL;
  th__store(&s->refs, 1, TH__RELAXED);
  s->target.folder = s->target.descriptor = -1;
  s->n = n;
  s->keep = keep;
  for (int i = 0; i <= n; i++) s->parts[i].saving = s;
  return s;
}

static th_array *submit(saving *s) {
  th_layout layout;
  if (th__layout_make(&layout, NULL, 0, TH_I64, s->target.who) != TH_OK) return NULL;
  th_array *result = th__array_new(&layout, th_cpu(0));
  if (!result) return NULL;
  s->result = result->storage;
  th_status status = TH_OK;
  for (int i = 0; i < s->n && status == TH_OK; i++) status = push_part(&s->parts[i]);
  if (status == TH_OK) status = push(&s->parts[s->n], end_run, false, true, th_cpu(0));
  if (status == TH_OK) return result;
  th_release(result);
  return NULL;
}

th_array *th__save(th_array *const *arrays, const char *const *names, int n,
                   const char *const *metadata, const char *path, int keep, const char *who) {
  if (check_arrays(arrays, names, n, path, who) != TH_OK || th__engine_ensure() != TH_OK)
    return NULL;
  saving *s = saving_new(n, keep);
  if (!s) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *result = NULL;
  if (lay_out(s, arrays, names, metadata, who) == TH_OK &&
      th__target_open(&s->target, path, who) == TH_OK)
    result = submit(s);
  for (int i = 0; i < n; i++) th_release(s->parts[i].array);
  saving_release(s);
  return th__scope_resume(scope, result);
}

th_array *th_save_async(th_array *const *arrays, const char *const *names, int n,
                        const char *const *metadata, const char *path) {
  return th__save(arrays, names, n, metadata, path, 1, "th_save_async");
}

th_status th_save(th_array *const *arrays, const char *const *names, int n,
                  const char *const *metadata, const char *path) {
  th_scope scope = th__scope_suspend();
  th_array *written = th__save(arrays, names, n, metadata, path, 1, "th_save");
  th_status status = written ? th_wait(written) : th_last_status();
  th_release(written);
  (void)th__scope_resume(scope, NULL);
  return status;
}
