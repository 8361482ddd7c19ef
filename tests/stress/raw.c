/* Owns the raw tasks of random programs: bodies that fold what they read into what they write by a hash that depends on the
 * order, and the foreign thread that completes async ones. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/engine.h"
#include "ndarray/array.h"
#include "stress/world.h"
#include "support/fakedriver.h"

typedef struct raw_arg {
  world *w;
  op o;
  th_array *x, *y;   /* read, written in place; retained by the task */
  char padding[200]; /* sent along only with long_arg */
} raw_arg;

static uint64_t fold(uint64_t h, uint64_t value) { return program_mix(h * 31 + value); }

static uint64_t hash_elements(uint64_t h, const th_array *a) {
  if (!a->storage->data) return h; /* a skipped maker: only `always` tasks get here */
  const int32_t *data = th__array_data((th_array *)a);
  bool floats = a->layout.dtype == TH_F32;
  for (int64_t i = 0; i < th_array_size(a); i++) {
    float f;
    memcpy(&f, &data[i], sizeof f);
    h = fold(h, floats && f != f ? 7 : (uint32_t)data[i]);
  }
  return h;
}

/* The hash of what a raw operation reads, and its work on cells. */
static uint64_t compute_cells(world *w, const op *o, const th_array *x) {
  uint64_t h = program_mix(o->id);
  for (int i = 0; i < o->n_reads; i++) h = fold(h, w->cells[o->reads[i]].value);
  if (x) h = hash_elements(h, x);
  for (volatile int i = 0; i < o->spin * 100; i++) {
  }
  for (int i = 0; i < o->n_writes; i++) {
    cell *c = &w->cells[o->writes[i]];
    bool in_place = memchr(o->reads, o->writes[i], o->n_reads) != NULL;
    c->value = fold(in_place ? fold(h, c->value) : h, o->writes[i]);
  }
  return h;
}

static void compute(world *w, const op *o, const th_array *x, th_array *y) {
  uint64_t h = compute_cells(w, o, x);
  if (y && y->storage->data) {
    int32_t *data = th__array_data(y);
    for (int64_t i = 0; i < th_array_size(y); i++) {
      uint32_t v = (uint32_t)data[i];
      data[i] = (int32_t)(v * 31u + (uint32_t)(h >> (i % 32)));
    }
  }
}

/* Without a kernel of its own: the second quarter of y comes from x, the last from the first, and the first is filled with a mark
 * of h. */
static th_status launch_moves(th_task_context *context, const th_array *x, th_array *y,
                              uint64_t h) {
  int64_t part = th_array_size(y) / 4 * 4;
  char *to = th__array_data(y);
  if (x) {
    const char *from = th__array_data((th_array *)x);
    TH_TRY(th__cuda_copy(context, to + part, from + part, part));
  }
  TH_TRY(th__cuda_copy(context, to + 3 * part, to, part));
  return th__cuda_fill(context, to, (unsigned char)(h % 63 + 1), part);
}

/* On a GPU cells are changed while the task is issued, which happens in order, and arrays by a kernel. */
static th_status compute_cuda(raw_arg *r, th_task_context *context) {
  uint64_t h = compute_cells(r->w, &r->o, NULL);
  th_array *x = r->x && r->x->storage->data && r->x != r->y ? r->x : NULL;
  if (!r->y || !r->y->storage->data) return TH_OK;
  if (r->w->gpu) return launch_moves(context, x, r->y, h);
  return fake_launch_mix(context, x ? th__array_data(x) : NULL, x ? th_array_size(x) : 0,
                         th__array_data(r->y), th_array_size(r->y), h);
}

static th_status body(void *arg, th_task_context *context) {
  raw_arg *r = arg;
  if (r->o.fails) {
    return th_context_fail(context, TH_EKERNEL, "injected by %llu",
                           (unsigned long long)r->o.id + 1);
  }
  if (th_context_device(context).kind == TH_CUDA) return compute_cuda(r, context);
  compute(r->w, &r->o, r->x, r->y);
  return TH_OK;
}

static th_status async_body(void *arg, th_task_context *context) {
  raw_arg *r = arg;
  foreign_job *job = malloc(sizeof *job);
  if (!job) return TH_ENOMEM;
  foreigner *f = &r->w->foreign;
  *job = (foreign_job){
      .token = th_context_token(context), .world = r->w, .o = r->o, .x = r->x, .y = r->y};
  pthread_mutex_lock(&f->lock);
  job->next = f->jobs; /* last in, first out: completes in an order of its own */
  f->jobs = job;
  pthread_cond_signal(&f->more);
  pthread_mutex_unlock(&f->lock);
  return TH_OK;
}

static void complete(foreign_job *job) {
  char text[64];
  snprintf(text, sizeof text, "injected by %llu", (unsigned long long)job->o.id + 1);
  if (job->o.cancels) {
    th_token_drop(job->token);
  } else if (job->o.fails) {
    th_token_signal(job->token, TH_EKERNEL, text);
  } else {
    compute(job->world, &job->o, job->x, job->y);
    th_token_signal(job->token, TH_OK, NULL);
  }
}

void *foreigner_main(void *arg) {
  foreigner *f = arg;
  pthread_mutex_lock(&f->lock);
  for (;;) {
    foreign_job *job = f->jobs;
    if (job) {
      f->jobs = job->next;
      pthread_mutex_unlock(&f->lock);
      complete(job);
      free(job);
      pthread_mutex_lock(&f->lock);
    } else if (f->stop) {
      break;
    } else {
      pthread_cond_wait(&f->more, &f->lock);
    }
  }
  pthread_mutex_unlock(&f->lock);
  return NULL;
}

void foreigner_stop(foreigner *f) {
  pthread_mutex_lock(&f->lock);
  f->stop = true;
  pthread_cond_signal(&f->more);
  pthread_mutex_unlock(&f->lock);
  pthread_join(f->thread, NULL);
}

static void drop(void *arg) {
  raw_arg *r = arg;
  th_release(r->x);
  th_release(r->y);
  r->w->dropped++;
}

th_status raw_submit(actor *a, const op *o) {
  world *w = a->world;
  raw_arg arg = {.w = w, .o = *o};
  th_var *reads[PROGRAM_READS + 2], *writes[PROGRAM_WRITES + 1];
  size_t n_reads = 0, n_writes = 0;
  for (int i = 0; i < o->n_reads; i++) reads[n_reads++] = w->cells[o->reads[i]].var;
  for (int i = 0; i < o->n_writes; i++) writes[n_writes++] = w->cells[o->writes[i]].var;
  /* Arrays of the task's device; a foreign thread can only touch host memory that is complete. */
  int device = o->kind == OP_ASYNC ? 0 : o->device;
  int integers = device * 2;
  /* The kernel for GPUs cannot tell one NaN from another, as hash_elements() does. */
  int class_ = w->cuda && device > 0 ? integers : integers + (o->class_ & 1);
  if (o->reads_array) {
    arg.x = th_retain(a->arrays[class_][o->x]);
    reads[n_reads++] = th_array_var(arg.x);
  }
  if (o->writes_array) {
    arg.y = th_retain(a->arrays[integers][o->y]);
    reads[n_reads++] = writes[n_writes++] = th_array_var(arg.y);
  }
  th_task task = {.name = "raw",
                  .run = o->kind == OP_ASYNC ? async_body : body,
                  .arg = &arg,
                  .arg_size = o->long_arg ? sizeof arg : offsetof(raw_arg, padding),
                  .drop = drop,
                  .reads = reads,
                  .n_reads = n_reads,
                  .writes = writes,
                  .n_writes = n_writes,
                  .device = world_device(w, device),
                  .priority = o->priority,
                  .flags = (o->always ? TH_TASK_ALWAYS : 0) | (o->f == 0 ? TH_TASK_INLINE : 0)};
  th_status status = TH_EAGAIN;
  if (o->kind == OP_ASYNC) {
    status = th_push_async(&task);
  } else {
    if (o->tries) status = th_push_try(&task);
    if (status == TH_EAGAIN) status = th_push(&task);
  }
  if (status == TH_OK) {
    w->pushed++;
  } else {
    th_release(arg.x);
    th_release(arg.y);
  }
  return status;
}
