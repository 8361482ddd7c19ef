/* Owns lane devices: an issue thread per device puts ready tasks on lanes, orders them by points, and finishes them when their
 * point has passed. `lock` guards everything; serial and shuffle modes have no issue thread and call in from any thread. */
#include <stdio.h>
#include <uv.h>

#include "engine/parts.h"
#include "engine/trace.h"

#define MAX_LANES  64
#define IDLE_SPINS 2000

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
  int n_lanes, next;
  _Atomic uint32_t outstanding, sleeping, wake;
  bool has_thread;
  th__thread_handle handle;
} th__lanes;

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
              th__load(&p->device, TH__RELAXED) == device->index;
  return same && !th__ref_finished(pred) ? point : 0;
}

/* Calls fn for the point of every back edge. */
static void each_point(th__pool_device *device, th__task *task,
                       void (*fn)(th__pool_device *device, th_point point, int *lane), int *lane_) {
  th__task *record = task;
  for (;;) {
    uint32_t n = th__load(&record->n_links, TH__RELAXED);
    for (uint32_t i = 0; i < n; i++) {
      th_point point = point_of(device, th__load(&record->preds[i], TH__RELAXED));
      if (point != 0) fn(device, point, lane_);
    }
    uint32_t extension = th__load(&record->extension, TH__RELAXED);
    if (extension == 0) return;
    record = th__task_at(extension - 1);
  }
}

/* Continue on the lane whose last task we follow: no wait is needed there. */
static void prefer_tail(th__pool_device *device, th_point point, int *chosen) {
  if (*chosen < 0 && device->lanes->lanes[TH__POINT_LANE(point)].tail == point)
    *chosen = TH__POINT_LANE(point);
}

static void wait_point(th__pool_device *device, th_point point, int *lane_) {
  if (TH__POINT_LANE(point) != *lane_ && !device->ops->point_done(device->state, point))
    device->ops->lane_wait(device->state, *lane_, point);
}

/* From here on successors on this device may be issued behind the task. */
static void close_issue_list(th__thread *self, th__task *task) {
  uint64_t generation = (uint64_t)th__task_generation(task) << 32;
  uint32_t link = (uint32_t)th__exchange(&th__task_side(task)->issue_list,
                                         generation | TH__LIST_CLOSED, TH__ACQ_REL);
  th__release_issued(self, link);
}

void th__lanes_issue(th__thread *self, th__task *task) {
  th__pool_device *device =
      th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE);
  th__lanes *l = device->lanes;
  uv_mutex_lock(&l->lock);
  int chosen = -1;
  each_point(device, task, prefer_tail, &chosen);
  if (chosen < 0) {
    chosen = l->next;
    l->next = (l->next + 1) % l->n_lanes;
  }
  each_point(device, task, wait_point, &chosen);
  task->lane = (int16_t)chosen;
  th_point point = 0;
  th__fetch_add(&l->outstanding, 1, TH__RELAXED);
  bool room = lane_append(&l->lanes[chosen], task);
  th_status status =
      room ? device->ops->issue(device->state, chosen, body, task, &point) : TH_ENOMEM;
  if (status != TH_OK) { /* nothing was put on the lane */
    if (room) l->lanes[chosen].count--;
    th__failure *f = th__failure_new(status, task, th_status_text(status));
    th__poison_outputs(task, f);
    th__failure_release(f);
    task->status = (int16_t)status;
    th__fetch_sub(&l->outstanding, 1, TH__RELAXED);
    close_issue_list(self, task);
    th__finish(self, task, 0, NULL);
  } else {
    l->lanes[chosen].tail = point;
    th__store(&th__task_side(task)->point, point, TH__RELEASE);
    th__fetch_add(&task->claim, TH__ISSUED - TH__RUNNING, TH__ACQ_REL);
    close_issue_list(self, task);
  }
  uv_mutex_unlock(&l->lock);
}

bool th__lanes_poll(th__thread *self, th__pool_device *device) {
  th__lanes *l = device->lanes;
  if (th__load(&l->outstanding, TH__ACQUIRE) == 0) return false;
  uv_mutex_lock(&l->lock);
  for (int i = 0; i < l->n_lanes; i++) {
    lane *a = &l->lanes[i];
    while (a->count > 0) {
      th__task *task = a->ring[a->head];
      if (!device->ops->point_done(device->state,
                                   th__load(&th__task_side(task)->point, TH__RELAXED)))
        break;
      a->head = (a->head + 1) % a->capacity;
      a->count--;
      th__finish(self, task, 0, NULL);
      th__fetch_sub(&l->outstanding, 1, TH__RELEASE);
    }
  }
  uv_mutex_unlock(&l->lock);
  return true;
}

void th__lanes_run_now(th__thread *self, th__task *task) {
  th__pool_device *device =
      th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE);
  th__ref ref = th__task_ref(task);
  th__lanes_issue(self, task);
  while (!th__ref_finished(ref)) th__lanes_poll(self, device);
}

void th__lanes_push(th__thread *self, th__pool_device *device, th__ref ref) {
  th__lanes *l = device->lanes;
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

static void sleep_idle(th__lanes *l) {
  uint32_t wake = th__load(&l->wake, TH__ACQUIRE);
  th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
  th__fetch_add(&l->sleeping, 1, TH__SEQ_CST);
  if (th__load(&l->inbox.count, TH__SEQ_CST) == 0 && !th__load(&th__the.stopping, TH__ACQUIRE))
    th__park(&l->wake, wake, -1);
  th__fetch_sub(&l->sleeping, 1, TH__SEQ_CST);
  th__fetch_add(&th__the.active, 1, TH__SEQ_CST);
}

static void issue_main(void *arg) {
  th__pool_device *device = arg;
  th__lanes *l = device->lanes;
  th__thread *self = th__self();
  uint32_t idle = 0;
  if (self != NULL) self->engine_thread = true;
  while (self != NULL && !th__load(&th__the.stopping, TH__ACQUIRE)) {
    th__ref ref = th__queue_pop_front(
        &l->inbox, th__the.mode == TH__MODE_SHUFFLE_THREADS ? th__random(self) | 1 : 0);
    if (ref != 0 && th__claim(ref)) th__lanes_issue(self, th__task_at(TH__REF_SLOT(ref)));
    bool busy = th__lanes_poll(self, device);
    if (ref != 0) {
      idle = 0;
    } else if (busy) {
      if (++idle > 64) th__yield();
    } else if (++idle > IDLE_SPINS) {
      sleep_idle(l);
      idle = 0;
    } else {
      th__pause();
    }
  }
  th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
  th__fetch_sub(&th__the.workers_alive, 1, TH__RELEASE);
}

th_status th__lanes_open(th__pool_device *device) {
  th__lanes *l = th__zalloc(sizeof *l);
  if (l == NULL) return TH_ENOMEM;
  int n = device->ops->lanes(device->state);
  l->n_lanes = n < 1 ? 1 : n > MAX_LANES ? MAX_LANES : n;
  if (uv_mutex_init_recursive(&l->lock) != 0) {
    th__free(l);
    return th__fail(TH_ENOMEM, "engine: no mutex for a lane device");
  }
  device->lanes = l;
  if (th__the.mode == TH__MODE_SERIAL || th__the.mode == TH__MODE_SHUFFLE) return TH_OK;
  char name[40];
  snprintf(name, sizeof name, "th-issue-%d", device->index);
  th__fetch_add(&th__the.active, 1, TH__SEQ_CST);
  th__fetch_add(&th__the.workers_alive, 1, TH__RELAXED);
  l->has_thread = true;
  th_status status = th__thread_start(&l->handle, issue_main, device, name);
  if (status == TH_OK) return TH_OK;
  th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
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
