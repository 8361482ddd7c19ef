/* Being told instead of waiting: th_on_ready, th_read_async, loops, events. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <uv.h>

#include "engine/base/atomic.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "thrum/thrum.h"

TestSuite(async, .timeout = 60);

typedef struct news {
  _Atomic int calls;
  th_status status;
  char message[256];
  pthread_t where;
} news;

static void take(th_status status, const char *message, void *user) {
  news *n = user;
  n->status = status;
  snprintf(n->message, sizeof(n->message), "%s", message);
  n->where = pthread_self();
  th__fetch_add(&n->calls, 1, TH__RELEASE);
}

/* Waits up to 10 s. */
static bool arrived(news *n, int calls) {
  for (int i = 0; i < 10000 && th__load(&n->calls, TH__ACQUIRE) < calls; i++) th__sleep_ns(1000000);
  return th__load(&n->calls, TH__ACQUIRE) == calls;
}

static _Atomic uint32_t gate; /* bodies below wait for it */

static th_status wait_gate(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  while (th__load(&gate, TH__ACQUIRE) == 0) th__park(&gate, 0, -1);
  return TH_OK;
}

static th_status fail_at_gate(void *arg, th_task_context *context) {
  (void)wait_gate(arg, context);
  return th_context_fail(context, TH_EKERNEL, "broken on purpose");
}

static void open_gate(void) {
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, 100);
}

/* A task that changes a when the gate opens. */
static th_status push_write(th_array *a, th_task_fn run) {
  th_var *v = th_array_var(a);
  th_task task = {
      .name = "gated", .run = run, .writes = &v, .n_writes = 1, .reads = &v, .n_reads = 1};
  return th_push(&task);
}

static th_array *ones(void) { return th_ones(TH_SHAPE(2, 3), TH_F32, th_cpu(0)); }

Test(async, called_when_the_writes_are_done) {
  static news n;
  th_array *a = ones();
  cr_assert(eq(int, push_write(a, wait_gate), TH_OK));
  cr_assert(eq(int, th_on_ready(a, take, &n), TH_OK));
  th_release(a); /* the callback needs no handle */
  th__sleep_ns(20000000);
  cr_assert(eq(int, th__load(&n.calls, TH__ACQUIRE), 0));
  open_gate();
  cr_assert(arrived(&n, 1));
  cr_assert(eq(int, n.status, TH_OK));
  cr_assert(eq(str, n.message, ""));
  cr_assert(not(pthread_equal(n.where, pthread_self())));
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(async, a_failure_is_told_as_a_wait_would) {
  static news n;
  th_array *a = ones();
  cr_assert(eq(int, push_write(a, fail_at_gate), TH_OK));
  cr_assert(eq(int, th_on_ready(a, take, &n), TH_OK));
  open_gate();
  cr_assert(arrived(&n, 1));
  cr_assert(eq(int, n.status, TH_EKERNEL));
  cr_assert(eq(int, th_wait(a), TH_EKERNEL));
  cr_assert(strstr(n.message, "broken on purpose") != NULL, "%s", n.message);
  cr_assert(eq(str, n.message, (char *)th_last_error()));
  cr_assert(eq(int, th_on_ready(a, take, &n), TH_OK)); /* sticky: told again */
  cr_assert(arrived(&n, 2));
  cr_assert(eq(int, n.status, TH_EKERNEL));
  th_release(a);
  th_shutdown();
}

Test(async, bad_arguments) {
  th_clear_error();
  cr_assert(eq(int, th_on_ready(NULL, take, NULL), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "th_on_ready") != NULL, "%s", th_last_error());
  th_array *a = ones();
  cr_assert(eq(int, th_on_ready(a, NULL, NULL), TH_EINVAL));
  float out[6];
  cr_assert(eq(int, th_read_async(a, out, 23, take, NULL), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "23") != NULL && strstr(th_last_error(), "24") != NULL);
  cr_assert(eq(int, th_read_async(a, NULL, 24, take, NULL), TH_EINVAL));
  cr_assert(eq(int, th_read_async(a, out, 24, NULL, NULL), TH_EINVAL));
  cr_assert(eq(int, th_uv_attach(NULL), TH_EINVAL));
  cr_assert(th_event_new(NULL) == NULL);
  cr_assert(eq(int, th_event_wait(NULL, 0), TH_EINVAL));
  cr_assert(eq(int, th_event_status(NULL), TH_EINVAL));
  cr_assert(eq(int, th_event_fd(NULL), -1));
  cr_assert(not(th_event_ready(NULL)));
  th_event_release(NULL);
  th_array *bad = th_zeros(TH_SHAPE(-1), TH_F32, th_cpu(0)); /* keeps the first message */
  cr_assert(bad == NULL);
  cr_assert(eq(int, th_on_ready(bad, take, NULL), TH_ESHAPE));
  th_release(a);
  (void)th_shutdown();
}

Test(async, arrays_of_shapes_only) {
  static news n;
  th_array *a = th_zeros(TH_SHAPE(4), TH_F32, th_meta());
  cr_assert(eq(int, th_on_ready(a, take, &n), TH_OK));
  cr_assert(arrived(&n, 1));
  cr_assert(eq(int, n.status, TH_OK));
  float out[4];
  cr_assert(eq(int, th_read_async(a, out, sizeof(out), take, &n), TH_ENODATA));
  th_event *e = th_event_new(a);
  cr_assert(th_event_ready(e));
  cr_assert(eq(int, th_event_wait(e, -1), TH_OK));
  th_event_release(e);
  th_release(a);
  (void)th_shutdown();
}

typedef struct chain {
  th_array *array;
  _Atomic int left, done;
  th_status worst;
} chain;

static void follow(th_status status, const char *message, void *user) {
  chain *c = user;
  (void)message;
  if (status != TH_OK) c->worst = status;
  if (th__fetch_sub(&c->left, 1, TH__ACQ_REL) > 1) {
    th_array *b = th_add(c->array, c->array); /* any call is legal here, waits too */
    if (b == NULL || th_wait(b) != TH_OK || th_item(b) < 1.9) c->worst = TH_EINVAL;
    th_release(b);
    if (th_on_ready(c->array, follow, c) != TH_OK) c->worst = TH_EAGAIN;
  } else {
    th__store(&c->done, 1, TH__RELEASE);
  }
}

Test(async, callbacks_may_call_everything) {
  static chain c;
  c.array = th_ones(TH_SCALAR, TH_F32, th_cpu(0));
  th__store(&c.left, 100, TH__RELAXED);
  cr_assert(eq(int, th_on_ready(c.array, follow, &c), TH_OK));
  for (int i = 0; i < 10000 && !th__load(&c.done, TH__ACQUIRE); i++) th__sleep_ns(1000000);
  cr_assert(eq(int, th__load(&c.done, TH__ACQUIRE), 1));
  cr_assert(eq(int, c.worst, TH_OK));
  th_release(c.array);
  th_shutdown();
}

Test(async, reads_what_a_read_would) {
  static news n;
  static float out[6], wanted[6];
  float data[] = {1, 2, 3, 4, 5, 6};
  th_array *a = th_from_host(data, TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  th_array *view = th_slice(a, "::-1, ::2");
  cr_assert(eq(int, th_read_async(view, out, 16, take, &n), TH_OK));
  cr_assert(eq(int, th_fill(a, 9), TH_OK)); /* later writes do not show */
  cr_assert(arrived(&n, 1));
  cr_assert(eq(int, n.status, TH_OK));
  float expected[] = {4, 6, 1, 3};
  cr_assert(eq(int, memcmp(out, expected, 16), 0));
  cr_assert(eq(int, th_read(view, wanted, 16), TH_OK));
  cr_assert(eq(flt, wanted[0], 9.0f));
  th_array *none = th_zeros(TH_SHAPE(0, 5), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_read_async(none, NULL, 0, take, &n), TH_OK));
  cr_assert(arrived(&n, 2));
  th_array *never = th_empty(TH_SHAPE(6), TH_F32, th_cpu(0)); /* any content, but it must come */
  cr_assert(eq(int, th_read_async(never, out, 24, take, &n), TH_OK));
  cr_assert(arrived(&n, 3));
  cr_assert(eq(int, n.status, TH_OK));
  th_release(a);
  th_release(view);
  th_release(none);
  th_release(never);
  th_shutdown();
}

Test(async, reading_a_failure) {
  static news n;
  float out[6] = {7};
  th_array *a = ones();
  open_gate();
  cr_assert(eq(int, push_write(a, fail_at_gate), TH_OK));
  cr_assert(eq(int, th_read_async(a, out, 24, take, &n), TH_OK));
  cr_assert(arrived(&n, 1));
  cr_assert(eq(int, n.status, TH_EKERNEL));
  cr_assert(strstr(n.message, "broken on purpose") != NULL, "%s", n.message);
  cr_assert(eq(flt, out[0], 7.0f)); /* untouched */
  th_release(a);
  (void)th_shutdown();
}

Test(async, many_at_once) {
  static news n;
  th_array *a = ones();
  push_write(a, wait_gate);
  int wrong = 0;
  for (int i = 0; i < 3000; i++) wrong += th_on_ready(a, take, &n) != TH_OK;
  open_gate();
  cr_assert(eq(int, wrong, 0));
  cr_assert(arrived(&n, 3000));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(async, shutdown_delivers_all_and_then_nothing) {
  static news n;
  int64_t live = th__mem_live();
  cr_assert(eq(int, th_init(NULL), TH_OK));
  for (int i = 0; i < 20; i++) {
    th_array *a = ones();
    for (int j = 0; j < 50; j++) (void)th_on_ready(a, take, &n);
    th_release(a);
  }
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th__load(&n.calls, TH__ACQUIRE), 1000));
  th__sleep_ns(20000000);
  cr_assert(eq(int, th__load(&n.calls, TH__ACQUIRE), 1000));
  cr_assert(eq(i64, th__mem_live(), live));
}

static void shut_down_inside(th_status status, const char *message, void *user) {
  take(th_shutdown(), th_last_error(), user);
  (void)status;
  (void)message;
}

Test(async, a_callback_cannot_shut_down) {
  static news n;
  th_array *a = ones();
  cr_assert(eq(int, th_on_ready(a, shut_down_inside, &n), TH_OK));
  cr_assert(arrived(&n, 1));
  cr_assert(eq(int, n.status, TH_EDEADLK));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

/* --- loops --- */

static void on_timer(uv_timer_t *timer) {
  open_gate();
  uv_close((uv_handle_t *)timer, NULL);
}

Test(async, an_attached_loop_runs_the_callbacks) {
  static news n;
  uv_loop_t loop;
  uv_timer_t timer;
  uv_loop_init(&loop);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_timer, 20, 0);
  cr_assert(eq(int, th_uv_attach(&loop), TH_OK));
  cr_assert(eq(int, th_uv_attach(&loop), TH_EBUSY));
  th_array *a = ones();
  cr_assert(eq(int, push_write(a, wait_gate), TH_OK));
  for (int i = 0; i < 10; i++) cr_assert(eq(int, th_on_ready(a, take, &n), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT); /* ends by itself when all is delivered */
  cr_assert(eq(int, th__load(&n.calls, TH__ACQUIRE), 10));
  cr_assert(pthread_equal(n.where, pthread_self()));
  cr_assert(eq(int, th_uv_detach(&loop), TH_OK));
  cr_assert(eq(int, th_uv_detach(&loop), TH_EINVAL));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(async, shutdown_with_a_loop_attached) {
  static news n;
  uv_loop_t loop;
  uv_loop_init(&loop);
  cr_assert(eq(int, th_uv_attach(&loop), TH_OK));
  th_array *a = ones();
  cr_assert(eq(int, th_on_ready(a, take, &n), TH_OK));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th__load(&n.calls, TH__ACQUIRE), 1));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

/* --- many --- */

enum { MANY = 100000, ARRAYS = 50, THREADS = 4 };

/* What came of one await. */
typedef struct await {
  _Atomic uint32_t calls;
  uint32_t wrong;
} await;
static await awaits[MANY];
static _Atomic int told;

static void tell(th_status status, const char *message, void *user) {
  await *a = user;
  a->wrong += status != TH_OK || message[0] != 0;
  th__fetch_add(&a->calls, 1, TH__RELAXED);
  th__fetch_add(&told, 1, TH__RELEASE);
}

/* How many of n awaits were told exactly once, and well. */
static int told_once(int n) {
  int good = 0;
  for (int i = 0; i < n; i++)
    good += th__load(&awaits[i].calls, TH__RELAXED) == 1 && awaits[i].wrong == 0;
  return good;
}

/* Arrays whose first write waits for the gate. */
static void make_gated(th_array **arrays, int n) {
  for (int i = 0; i < n; i++) {
    arrays[i] = ones();
    if (i == 0) {
      cr_assert(eq(int, push_write(arrays[0], wait_gate), TH_OK));
    } else {
      cr_assert(eq(int, th_assign(arrays[i], arrays[0]), TH_OK));
    }
  }
}

static void *open_when_all_wait(void *arg) {
  while (th__load((_Atomic uint32_t *)arg, TH__ACQUIRE) == 0) th__sleep_ns(1000000);
  open_gate();
  return NULL;
}

/* The loop's thread is never held up: it submits far beyond the run-ahead limit. */
Test(async, a_hundred_thousand_awaits_on_a_loop, .timeout = 120) {
  static _Atomic uint32_t all_wait;
  static th_array *arrays[ARRAYS];
  uv_loop_t loop;
  pthread_t opener;
  uv_loop_init(&loop);
  cr_assert(eq(int, th_uv_attach(&loop), TH_OK));
  pthread_create(&opener, NULL, open_when_all_wait, &all_wait);
  make_gated(arrays, ARRAYS);
  int refused = 0;
  for (int i = 0; i < MANY; i++)
    refused += th_on_ready(arrays[i % ARRAYS], tell, &awaits[i]) != TH_OK;
  cr_assert(eq(int, refused, 0));
  cr_assert(eq(int, th__load(&told, TH__ACQUIRE), 0)); /* all of them are pending */
  th__store(&all_wait, 1, TH__RELEASE);
  uv_run(&loop, UV_RUN_DEFAULT);
  pthread_join(opener, NULL);
  cr_assert(eq(int, th__load(&told, TH__ACQUIRE), MANY));
  cr_assert(eq(int, told_once(MANY), MANY));
  cr_assert(eq(int, th_uv_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
  for (int i = 0; i < ARRAYS; i++) th_release(arrays[i]);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

typedef struct submitter {
  pthread_t thread;
  th_array *array;
  await *first;
  int refused;
} submitter;

static void *submit_awaits(void *arg) {
  submitter *s = arg;
  for (int i = 0; i < MANY / THREADS; i++) {
    if (i % 100 == 0) s->refused += th_add_scalar_inplace(s->array, 1) != TH_OK;
    s->refused += th_on_ready(s->array, tell, &s->first[i]) != TH_OK;
  }
  return NULL;
}

static void on_tick(uv_timer_t *timer) {
  if (th__load(&told, TH__ACQUIRE) >= MANY / 3) uv_close((uv_handle_t *)timer, NULL);
}

/* Submitted by several threads while a loop, then the service thread, delivers. */
Test(async, none_is_lost_when_the_loop_leaves_in_the_middle, .timeout = 120) {
  static submitter threads[THREADS];
  uv_loop_t loop;
  uv_timer_t timer; /* what others announce keeps no idle loop alive */
  uv_loop_init(&loop);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_tick, 1, 1);
  cr_assert(eq(int, th_uv_attach(&loop), TH_OK));
  for (int t = 0; t < THREADS; t++) {
    threads[t] = (submitter){.array = ones(), .first = awaits + t * (MANY / THREADS)};
    pthread_create(&threads[t].thread, NULL, submit_awaits, &threads[t]);
  }
  while (uv_is_active((uv_handle_t *)&timer)) uv_run(&loop, UV_RUN_ONCE);
  cr_assert(eq(int, th_uv_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
  for (int t = 0; t < THREADS; t++) {
    pthread_join(threads[t].thread, NULL);
    cr_assert(eq(int, threads[t].refused, 0));
    th_release(threads[t].array);
  }
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, told_once(MANY), MANY));
}

/* --- events --- */

Test(async, an_event_becomes_ready_once) {
  th_array *a = ones();
  cr_assert(eq(int, push_write(a, wait_gate), TH_OK));
  th_event *e = th_event_new(a);
  cr_assert(not(th_event_ready(e)));
  cr_assert(eq(int, th_event_status(e), TH_EAGAIN));
  cr_assert(eq(int, th_event_wait(e, 0), TH_ETIMEDOUT));
  int64_t from = th__now_ns();
  cr_assert(eq(int, th_event_wait(e, 20000000), TH_ETIMEDOUT));
  cr_assert(ge(i64, th__now_ns() - from, 20000000));
  open_gate();
  cr_assert(eq(int, th_event_wait(e, INT64_MAX), TH_OK)); /* its end is beyond all numbers */
  cr_assert(th_event_ready(e));
  cr_assert(eq(int, th_event_status(e), TH_OK));
  cr_assert(eq(int, th_event_wait(e, 0), TH_OK));
  th_event_release(e);
  th_release(a);
  (void)th_shutdown();
}

Test(async, an_event_keeps_the_failure) {
  th_array *a = ones();
  open_gate();
  push_write(a, fail_at_gate);
  th_event *e = th_event_new(a);
  cr_assert(eq(int, th_fill(a, 3), TH_OK)); /* cured: the event is about the time before */
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(eq(int, th_event_wait(e, -1), TH_EKERNEL));
  th_clear_error();
  cr_assert(eq(int, th_event_status(e), TH_EKERNEL));
  cr_assert(strstr(th_last_error(), "broken on purpose") != NULL, "%s", th_last_error());
  th_event_release(e);
  th_release(a);
  (void)th_shutdown();
}

Test(async, a_descriptor_polls_readable) {
  th_array *a = ones();
  push_write(a, wait_gate);
  th_event *e = th_event_new(a);
  struct pollfd p = {.fd = th_event_fd(e), .events = POLLIN};
  cr_assert(ge(int, p.fd, 0));
  cr_assert(eq(int, th_event_fd(e), p.fd));
  cr_assert(eq(int, poll(&p, 1, 10), 0));
  open_gate();
  cr_assert(eq(int, poll(&p, 1, 10000), 1));
  cr_assert(th_event_ready(e));
  cr_assert(eq(int, poll(&p, 1, 0), 1)); /* stays readable */
  th_event *late = th_event_new(a);
  cr_assert(eq(int, th_event_wait(late, -1), TH_OK));
  p.fd = th_event_fd(late); /* asked for afterwards */
  cr_assert(eq(int, poll(&p, 1, 0), 1));
  th_event_release(e);
  th_event_release(late);
  th_release(a);
  (void)th_shutdown();
}

Test(async, an_event_may_go_at_any_time) {
  int64_t live = th__mem_live();
  th_init(NULL);
  th_array *a = ones();
  push_write(a, wait_gate);
  for (int i = 0; i < 100; i++) {
    th_event *e = th_event_new(a);
    if (i % 2 == 0) (void)th_event_fd(e);
    th_event_release(e); /* long before it is ready */
  }
  th_event *kept = th_event_new(a);
  open_gate();
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th_event_status(kept), TH_OK));
  th_event_release(kept); /* after shutdown */
  cr_assert(eq(i64, th__mem_live(), live));
}

static void *wait_event(void *e) { return th_event_wait(e, -1) == TH_OK ? e : NULL; }

Test(async, many_threads_wait_for_one_event) {
  th_array *a = ones();
  push_write(a, wait_gate);
  th_event *e = th_event_new(a);
  pthread_t threads[16];
  for (int i = 0; i < 16; i++) pthread_create(&threads[i], NULL, wait_event, e);
  th__sleep_ns(5000000);
  open_gate();
  for (int i = 0; i < 16; i++) {
    void *got;
    pthread_join(threads[i], &got);
    cr_assert(eq(ptr, got, (void *)e));
  }
  th_event_release(e);
  th_release(a);
  (void)th_shutdown();
}

/* --- other modes --- */

Test(async, works_in_every_mode) {
  static const char *const modes[] = {"serial", "shuffle:3", "shuffle-threads:3", "threads"};
  for (int i = 0; i < 4; i++) {
    for (int workers = TH_NO_WORKERS; workers <= 1; workers += 2) {
      static news n;
      memset(&n, 0, sizeof(n));
      th_config config = {.size = sizeof(config), .engine = modes[i], .workers = workers};
      cr_assert(eq(int, th_init(&config), TH_OK), "%s", modes[i]);
      th_array *a = ones();
      th_array *b = th_add(a, a);
      th_event *e = th_event_new(b);
      cr_assert(eq(int, th_on_ready(b, take, &n), TH_OK), "%s", modes[i]);
      cr_assert(eq(int, th_event_wait(e, -1), TH_OK), "%s with %d workers", modes[i], workers);
      th_event_release(e);
      th_release(a);
      th_release(b);
      cr_assert(eq(int, th_shutdown(), TH_OK), "%s", modes[i]);
      cr_assert(eq(int, th__load(&n.calls, TH__ACQUIRE), 1), "%s", modes[i]);
    }
  }
}
