/* Owns lane devices: an issue thread per device puts ready tasks on lanes, orders them by points, and finishes them when their
 * point has passed. `lock` guards everything; serial and shuffle modes have no issue thread and call in from any thread. */
#include <stdio.h>
#include <uv.h>

#include "engine/parts.h"
#include "engine/trace.h"

#define MAX_LANES   64
#define IDLE_SPINS  2000
#define YIELD_AFTER 64
#define NAP_AFTER   1000000 /* ns in which nothing was issued and nothing completed */
#define NAP_MOST    1000000 /* ns */
#define NAP_PART    8 /* of the time without an event, so nothing is noticed later than by that */

/* Issued tasks of one lane, oldest first. */
typedef struct lane {
  th__task **ring;
  uint32_t head, count, capacity;
  th_point tail; /* of the last issued */
} lane;

typedef struct th__lanes {
  uv_mutex_t lock; /* recursive: a body on a lane may submit */
  th__queue inbox;
  lane lanes[MAX_LANES];
  int n_lanes;           /* all */
  int n_compute, next;   /* compute lanes come first; the next in turn among equals */
  uint64_t last_done;    /* sequence number and name of the task that completed last */
  const char *last_name; /* last_text, if it may end with its task */
  char last_text[48];
  _Atomic uint32_t outstanding, sleeping, wake;
  _Atomic uint32_t events; /* issues and completions; counted under the lock */
  bool resetting;          /* made anew, but still lost: nothing is issued. Under the lock */
  bool has_thread;
  th__thread_handle handle;
} th__lanes;

/* Relaxed: the issue thread only looks whether it has changed. */
static void note_event(th__lanes *l) {
  th__store(&l->events, th__load(&l->events, TH__RELAXED) + 1, TH__RELAXED);
}

/* What the device calls when the lane reaches the task. */
static void body(void *arg, void *lane_handle) {
  th__task *task = arg;
  th__thread *self = th__self();
  self->issuing++;
  th__execute(self, task, lane_handle);
  self->issuing--;
}

static bool lane_append(lane *l, th__task *task) {
  if (l->count == l->capacity) {
    uint32_t capacity = l->capacity == 0 ? 64 : l->capacity * 2;
    th__task **ring = th__alloc(capacity * sizeof *ring);
    if (ring == NULL) return false;
    for (uint32_t i = 0; i < l->count; i++) ring[i] = l->ring[(l->head + i) % l->capacity];
    th__free(l->ring);
    l->ring = ring;
    l->head = 0;
    l->capacity = capacity;
  }
  l->ring[(l->head + l->count++) % l->capacity] = task;
  return true;
}

/* The point of an unfinished predecessor on this device; 0 when there is nothing to wait for. */
static th_point point_of(th__pool_device *device, th__ref pred) {
  th__task *p = th__task_at(TH__REF_SLOT(pred));
  th_point point = th__load(&th__task_side(p)->point, TH__ACQUIRE);
  bool same = (th__load(&p->kind_flags, TH__RELAXED) & TH__LANE_TASK) &&
              TH__PLACE_DEVICE(th__load(&p->place, TH__RELAXED)) == device->index;
  return same && !th__ref_finished(pred) ? point : 0;
}

/* Calls fn for the point of every back edge that still matters. */
static void each_point(th__pool_device *device, th__task *task,
                       void (*fn)(th__pool_device *device, th_point point, void *arg), void *arg) {
  th__task *record = task;
  for (;;) {
    uint32_t n = th__load(&record->n_links, TH__RELAXED);
    for (uint32_t i = 0; i < n; i++) {
      th_point point = point_of(device, th__load(&record->preds[i], TH__RELAXED));
      if (point != 0) fn(device, point, arg);
    }
    uint32_t extension = th__load(&record->extension, TH__RELAXED);
    if (extension == 0) return;
    record = th__task_at(extension - 1);
  }
}

/* Continue on the lane whose last task we follow: no wait is needed there. */
static void prefer_tail(th__pool_device *device, th_point point, void *arg) {
  int lane_ = TH__POINT_LANE(point), *chosen = arg;
  if (*chosen < 0 && lane_ < device->lanes->n_compute && device->lanes->lanes[lane_].tail == point)
    *chosen = lane_;
}

typedef struct edges {
  int lane;
  th_status status;
} edges;

/* Orders what comes on the lane behind the point. */
static void wait_point(th__pool_device *device, th_point point, void *arg) {
  edges *e = arg;
  if (TH__POINT_LANE(point) == e->lane || device->ops->point_done(device->state, point)) return;
  th_status status = device->ops->lane_wait(device->state, e->lane, point);
  if (status != TH_OK) e->status = status;
}

/* The compute lane with the fewest tasks that have not been seen to end; of several, the next in turn. */
static int idlest_lane(th__lanes *l) {
  int best = l->next;
  for (int k = 1; k < l->n_compute; k++) {
    int i = (l->next + k) % l->n_compute;
    if (l->lanes[i].count < l->lanes[best].count) best = i;
  }
  l->next = (best + 1) % l->n_compute;
  return best;
}

/* The lane for a task: one of its own for copies between host and device, else that of a predecessor, else one that has little to do. */
static int choose_lane(th__pool_device *device, th__task *task) {
  th__lanes *l = device->lanes;
  if (l->n_lanes > l->n_compute && (task->flags & (TH_TASK_COPY_IN | TH_TASK_COPY_OUT)))
    return l->n_compute + (task->flags & TH_TASK_COPY_IN ? 0 : 1);
  int chosen = -1;
  each_point(device, task, prefer_tail, &chosen);
  return chosen >= 0 ? chosen : idlest_lane(l);
}

/* From here on successors on this device may be issued behind the task. */
static void close_issue_list(th__thread *self, th__task *task) {
  uint64_t generation = (uint64_t)th__task_generation(task) << 32;
  uint32_t link = (uint32_t)th__exchange(&th__task_side(task)->issue_list,
                                         generation | TH__LIST_CLOSED, TH__ACQ_REL);
  th__release_issued(self, link);
}

/* Poisons what the task writes because it cannot be issued, or will not complete. */
static void fail_task(th__thread *self, th__task *task, th_status status, const char *text) {
  th__failure *f = th__failure_new(status, task, text);
  th__poison_outputs(task, f);
  th__failure_release(f);
  task->status = th__short_status(status);
  th__count(&self->failed, 1);
}

/* Nothing was put on the lane. */
static void refuse(th__thread *self, th__task *task, th_status status) {
  (void)th__group_refuses(task);
  fail_task(self, task, status, th_status_text(status));
  close_issue_list(self, task);
  (void)th__finish(self, task, 0, false);
}

/* Whether anybody on the host waits for the task, or a task elsewhere. */
static bool is_awaited(const th__task *task) {
  return (uint32_t)th__load(&task->done_list, TH__RELAXED) != 0;
}

/* The task is on its lane with its point. False: its body found no memory, changed nothing and is off again. */
static bool issued(th__thread *self, th__task *task, lane *own, th_point point) {
  th__pool_device *device = th__task_device(task);
  if (task->status == TH__STARVED && (device->ops->caps & TH__CAP_ISSUES_NOW)) {
    own->count--;
    th__fetch_sub(&device->lanes->outstanding, 1, TH__RELAXED);
    th__starve(self, task);
    return false;
  }
  own->tail = point;
  th__store(&th__task_side(task)->point, point, TH__RELEASE);
  th__fetch_add(&task->word, TH__ISSUED - TH__RUNNING, TH__ACQ_REL);
  close_issue_list(self, task);
  if (device->ops->lane_flush != NULL && is_awaited(task))
    device->ops->lane_flush(device->state, task->lane);
  return true;
}

/* Takes the lock when no reset is half done. A body does not wait, as the reset may wait for it: what it issues is lost. */
static void lock_whole(const th__thread *self, th__lanes *l) {
  uv_mutex_lock(&l->lock);
  while (l->resetting && self->frame == NULL) {
    uv_mutex_unlock(&l->lock);
    th__yield();
    uv_mutex_lock(&l->lock);
  }
}

bool th__lanes_issue(th__thread *self, th__task *task) {
  th__pool_device *device = th__task_device(task);
  th__lanes *l = device->lanes;
  lock_whole(self, l);
  edges e = {choose_lane(device, task), TH_OK};
  each_point(device, task, wait_point, &e);
  task->lane = (int8_t)e.lane;
  lane *own = &l->lanes[e.lane];
  th_point point = 0;
  th_status status = e.status;
  bool done = true;
  th__fetch_add(&l->outstanding, 1, TH__RELAXED);
  note_event(l);
  if (status == TH_OK && !lane_append(own, task)) status = TH_ENOMEM;
  if (status == TH_OK) {
    status = device->ops->issue(device->state, e.lane, body, task, &point);
    if (status != TH_OK) own->count--;
  }
  if (th__load(&task->kind_flags, TH__RELAXED) & TH__LAST_CHANCE) th__last_chance_over(task);
  if (status != TH_OK) {
    th__fetch_sub(&l->outstanding, 1, TH__RELAXED);
    refuse(self, task, status);
  } else {
    done = issued(self, task, own, point);
  }
  uv_mutex_unlock(&l->lock);
  return done;
}

/* A body cannot begin before the host issued it, nor end after the host saw its end: what says so is the error of the mapping. */
void th__lanes_times(th__pool_device *device, th__task *task, uint64_t *started,
                     uint64_t *finished) {
  th_point point = th__load(&th__task_side(task)->point, TH__RELAXED);
  uint64_t began, ended;
  if (point == 0 || device->ops->point_times == NULL ||
      !device->ops->point_times(device->state, point, &began, &ended))
    return;
  if (began > *started) *started = began < *finished ? began : *finished;
  if (ended < *finished) *finished = ended > *started ? ended : *started;
}

/* A task whose device is lost: what it should have written is poisoned, whatever its body said. */
static void lose_task(th__thread *self, th__lanes *l, th__task *task, const char *why) {
  char text[TH__ERROR_TEXT];
  snprintf(text, sizeof text, "%s; known complete: %s%s, #%llu", why,
           l->last_name != NULL ? "up to " : "nothing", l->last_name != NULL ? l->last_name : "",
           (unsigned long long)l->last_done);
  fail_task(self, task, TH_EDEVICE, text);
}

static void note_name(th__lanes *l, const th__kind *kind) {
  l->last_name = kind->name_lasts ? kind->name : l->last_text;
  if (!kind->name_lasts) snprintf(l->last_text, sizeof l->last_text, "%s", kind->name);
}

/* Finishes the oldest task of a lane if it has passed. */
static bool poll_lane(th__thread *self, th__pool_device *device, lane *a) {
  th__lanes *l = device->lanes;
  th__task *task = a->ring[a->head];
  th_point point = th__load(&th__task_side(task)->point, TH__RELAXED);
  if (!device->ops->point_done(device->state, point)) {
    const char *why = device->ops->lost != NULL ? device->ops->lost(device->state) : NULL;
    if (why == NULL) return false;
    lose_task(self, l, task, why);
  } else {
    l->last_done = th__load(&task->sequence, TH__RELAXED);
    note_name(l, th__task_kind(task));
  }
  a->head = (a->head + 1) % a->capacity;
  a->count--;
  (void)th__finish(self, task, 0, false);
  th__fetch_sub(&l->outstanding, 1, TH__RELEASE);
  note_event(l);
  return true;
}

bool th__lanes_poll(th__thread *self, th__pool_device *device) {
  th__lanes *l = device->lanes;
  if (th__load(&l->outstanding, TH__ACQUIRE) == 0) return false;
  uv_mutex_lock(&l->lock);
  for (int i = 0; i < l->n_lanes; i++) {
    lane *a = &l->lanes[i];
    while (a->count > 0 && poll_lane(self, device, a)) {
    }
  }
  uv_mutex_unlock(&l->lock);
  return true;
}

/* Waits for bodies of other devices of the kind, which run under their locks: one that began before the reset may have the address
 * of memory that is gone, and must still find the device lost. Under no lock, since such a body may issue here. */
static void pass_peers(const th__pool_device *device) {
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++) {
    th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (d == device || d->ops != device->ops) continue;
    uv_mutex_lock(&d->lanes->lock);
    uv_mutex_unlock(&d->lanes->lock);
  }
}

th_status th__lanes_reset(th__thread *self, th__pool_device *device) {
  th__lanes *l = device->lanes;
  lock_whole(self, l);
  bool lost = device->ops->lost(device->state) != NULL;
  /* On a lost device every look ends a task, and while we hold the lock nobody issues. */
  for (int i = 0; lost && i < l->n_lanes; i++)
    while (l->lanes[i].count > 0) (void)poll_lane(self, device, &l->lanes[i]);
  th_status status = lost ? device->ops->reset(device->state) : TH_OK;
  l->resetting = lost && status == TH_OK;
  uv_mutex_unlock(&l->lock);
  if (lost && status == TH_OK) {
    pass_peers(device);
    uv_mutex_lock(&l->lock);
    if (device->ops->recovered != NULL) device->ops->recovered(device->state);
    l->resetting = false;
    uv_mutex_unlock(&l->lock);
  }
  if (lost) th__memory_freed();
  return status;
}

void th__lanes_run_now(th__thread *self, th__task *task) {
  th__pool_device *device = th__task_device(task);
  th__ref ref = th__task_ref(task);
  if (!th__lanes_issue(self, task)) return;
  while (!th__ref_finished(ref)) th__lanes_poll(self, device);
}

void th__lanes_push(th__thread *self, th__pool_device *device, th__ref ref) {
  th__lanes *l = device->lanes;
  /* Without memory for a larger ring, until the issue thread has made room in this one. */
  while (!th__queue_push(&l->inbox, ref)) th__yield();
  if (!l->has_thread) return; /* serial mode: a thread of the program takes it */
  if (th__load(&l->sleeping, TH__SEQ_CST) != 0) { /* pairs with the sleeper, as for workers */
    th__fetch_add(&l->wake, 1, TH__SEQ_CST);
    th__unpark(&l->wake, 1);
  }
}

th__ref th__lanes_take(th__pool_device *device) {
  return device->lanes->has_thread ? 0 : th__queue_pop_front(&device->lanes->inbox, 0);
}

/* Until something is to be issued, or for so many ns. */
static void sleep_idle(th__lanes *l, int64_t ns) {
  uint32_t wake = th__load(&l->wake, TH__ACQUIRE);
  th__fetch_add(&l->sleeping, 1, TH__SEQ_CST);
  if (th__load(&l->inbox.count, TH__SEQ_CST) == 0 && !th__load(&th__the.stopping, TH__ACQUIRE))
    th__park(&l->wake, wake, ns);
  th__fetch_sub(&l->sleeping, 1, TH__SEQ_CST);
}

/* What the issue thread does while tasks are on lanes and none is to be issued. */
typedef struct watch {
  uint32_t events; /* at the last look */
  uint32_t looks;  /* since there was one */
  int64_t since;   /* ns, soon after there was one; known once there were enough looks */
} watch;

/* Polls without a pause at first, since most bodies take microseconds; then yields; when nothing has completed for a while, naps. */
static void watch_lanes(th__lanes *l, watch *w) {
  uint32_t events = th__load(&l->events, TH__RELAXED);
  if (events != w->events || w->looks == 0) {
    w->events = events;
    w->looks = 1;
    return;
  }
  if (w->looks < YIELD_AFTER) {
    if (++w->looks == YIELD_AFTER) w->since = th__now_ns();
    return;
  }
  int64_t quiet = th__now_ns() - w->since;
  if (quiet < NAP_AFTER)
    th__yield();
  else
    sleep_idle(l, quiet / NAP_PART < NAP_MOST ? quiet / NAP_PART : NAP_MOST);
}

/* Nobody else does what this thread does, so it waits for memory when there is none for its record. NULL: the engine stops. */
static th__thread *issue_self(void) {
  th__thread *self;
  while ((self = th__self()) == NULL && !th__load(&th__the.stopping, TH__ACQUIRE))
    th__sleep_ns(NAP_MOST);
  if (self != NULL) self->engine_thread = true;
  return self;
}

static void issue_main(void *arg) {
  th__pool_device *device = arg;
  th__lanes *l = device->lanes;
  th__thread *self = issue_self();
  uint32_t idle = 0;
  watch w = {0};
  while (self != NULL && !th__load(&th__the.stopping, TH__ACQUIRE)) {
    th__ref ref = th__queue_pop_front(
        &l->inbox, th__the.mode == TH__MODE_SHUFFLE_THREADS ? th__random(self) | 1 : 0);
    if (ref != 0 && th__claim(self, ref))
      (void)th__lanes_issue(self, th__task_at(TH__REF_SLOT(ref)));
    bool busy = th__lanes_poll(self, device);
    if (ref != 0) {
      idle = w.looks = 0;
    } else if (busy) {
      idle = 0;
      watch_lanes(l, &w);
    } else if (++idle > IDLE_SPINS) {
      th__starved_idle(self);
      sleep_idle(l, -1);
      idle = w.looks = 0;
    } else {
      th__pause();
    }
  }
  th__fetch_sub(&th__the.workers_alive, 1, TH__RELEASE);
}

th_status th__lanes_open(th__pool_device *device) {
  th__lanes *l = th__zalloc(sizeof *l);
  if (l == NULL) return TH_ENOMEM;
  int n = device->ops->lanes(device->state);
  l->n_compute = n < 1 ? 1 : n > MAX_LANES - 2 ? MAX_LANES - 2 : n;
  l->n_lanes = l->n_compute + (device->ops->caps & TH__CAP_COPY_LANES ? 2 : 0);
  if (uv_mutex_init_recursive(&l->lock) != 0) {
    th__free(l);
    return th__fail(TH_ENOMEM, "engine: no mutex for a lane device");
  }
  device->lanes = l;
  if (th__the.mode == TH__MODE_SERIAL || th__the.mode == TH__MODE_SHUFFLE) return TH_OK;
  char name[40];
  snprintf(name, sizeof name, "th-issue-%d", device->index);
  th__fetch_add(&th__the.workers_alive, 1, TH__RELAXED);
  l->has_thread = true;
  th_status status = th__thread_start(&l->handle, issue_main, device, name);
  if (status == TH_OK) return TH_OK;
  th__fetch_sub(&th__the.workers_alive, 1, TH__RELAXED);
  l->has_thread = false;
  th__lanes_close(device);
  return status;
}

void th__lanes_wake(th__pool_device *device) {
  th__fetch_add(&device->lanes->wake, 1, TH__SEQ_CST);
  th__unpark(&device->lanes->wake, 1);
}

void th__lanes_close(th__pool_device *device) {
  th__lanes *l = device->lanes;
  if (l->has_thread) {
    th__lanes_wake(device);
    th__thread_join(&l->handle);
  }
  for (int i = 0; i < l->n_lanes; i++) th__free(l->lanes[i].ring);
  th__queue_free(&l->inbox);
  uv_mutex_destroy(&l->lock);
  th__free(l);
  device->lanes = NULL;
}
