/* An event loop that computes: libuv's timers keep ticking on time while arrays are computed, because the loop never waits.
 * It is told when a result is ready; everything else is submission. */
#include <stdlib.h>
#include <uv.h>

#include "common/demo.h"

enum { SIDE = 512, STEPS = 6, CHAINS = 2, TICK_MS = 2, WAKES = 2000, MOST = 4096 };

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* --- ticks --- */

typedef struct ticker {
  uv_timer_t timer;
  long ticks, wanted;
  double last, late[MOST]; /* seconds beyond TICK_MS */
  bool done;
} ticker;

static void on_tick(uv_timer_t *timer) {
  ticker *t = timer->data;
  double now = demo_seconds();
  if (t->ticks > 0) t->late[t->ticks - 1] = now - t->last - TICK_MS * 1e-3;
  t->last = now;
  if (t->ticks++ < t->wanted) return;
  t->done = true;
  uv_timer_stop(timer);
}

static void start_ticks(uv_loop_t *loop, ticker *t, long ticks) {
  *t = (ticker){.wanted = ticks};
  uv_timer_init(loop, &t->timer);
  t->timer.data = t;
  uv_timer_start(&t->timer, on_tick, TICK_MS, TICK_MS);
}

/* Prints how late the ticks were; returns the median. */
static double report(const char *what, ticker *t) {
  qsort(t->late, (size_t)t->wanted, sizeof *t->late, compare);
  double median = t->late[t->wanted / 2];
  printf("%-34s %6.3f %9.3f %9.3f\n", what, median * 1e3, t->late[t->wanted * 99 / 100] * 1e3,
         t->late[t->wanted - 1] * 1e3);
  return median;
}

/* --- computing --- */

/* Products follow each other until the ticks are counted; each result starts the next ones. */
typedef struct chain {
  const ticker *ticks;
  th_array *x, *w;
  bool blocking; /* the mistake: waits in the loop */
  long results;
  double held; /* seconds that its callbacks kept the loop */
} chain;

static void on_result(th_status status, const char *message, void *user);

static void submit(chain *c) {
  for (int i = 0; i < STEPS; i++) {
    th_array *next = DEMO_MAKE(th_matmul(c->x, c->w));
    th_release(c->x);
    c->x = next;
  }
  if (c->blocking) DEMO_TRY(th_wait(c->x));
  DEMO_TRY(th_on_ready(c->x, on_result, c));
}

static void on_result(th_status status, const char *message, void *user) {
  chain *c = user;
  double start = demo_seconds();
  if (status != TH_OK) demo_die("a product failed: %s", message);
  c->results++;
  if (!c->ticks->done) submit(c);
  c->held += demo_seconds() - start;
}

static void start_chain(chain *c, const ticker *ticks, bool blocking) {
  *c = (chain){.ticks = ticks, .blocking = blocking};
  c->w = DEMO_MAKE(th_full(TH_SHAPE(SIDE, SIDE), 1.0 / SIDE, TH_F32, th_cpu(0)));
  c->x = DEMO_MAKE(th_ones(TH_SHAPE(SIDE, SIDE), TH_F32, th_cpu(0)));
  submit(c);
}

static void end_chain(chain *c) {
  th_array *corner = DEMO_MAKE(th_slice(c->x, "0, 0"));
  if (demo_item(corner) != 1) demo_check(false, "a product is wrong");
  th_release(corner);
  th_release(c->x);
  th_release(c->w);
}

typedef struct computed {
  long results, waits; /* waits: of the program, as the engine counts them */
  double held,
      median; /* held: by a callback, on average, so that it matters little when others have the machine */
} computed;

static long waits_so_far(void) {
  th_engine_stats stats = {.size = sizeof stats};
  DEMO_TRY(th_engine_get_stats(&stats));
  return (long)stats.host_waits;
}

/* Ticks while chains compute; all on one loop. */
static computed tick_and_compute(uv_loop_t *loop, const char *what, long ticks, int chains,
                                 bool blocking) {
  static ticker t;
  chain c[CHAINS];
  computed all = {.waits = -waits_so_far()};
  start_ticks(loop, &t, ticks);
  for (int i = 0; i < chains; i++) start_chain(&c[i], &t, blocking);
  uv_run(loop, UV_RUN_DEFAULT); /* until the timer has stopped and the last result is in */
  all.waits += waits_so_far();
  for (int i = 0; i < chains; i++) {
    all.results += c[i].results;
    all.held += c[i].held;
    end_chain(&c[i]);
  }
  all.held /= all.results > 0 ? (double)all.results : 1;
  uv_close((uv_handle_t *)&t.timer, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  all.median = report(what, &t);
  return all;
}

/* --- wake-ups --- */

/* From the end of a task, or from a thread that does nothing else, to the callback on the sleeping loop. */
typedef struct waker {
  uv_async_t async;
  uv_sem_t go;
  th_var *gate;
  double sent, times[WAKES];
  long n;
} waker;

static void took(waker *w) { w->times[w->n++] = demo_seconds() - w->sent; }

static void on_async(uv_async_t *async) {
  waker *w = async->data;
  took(w);
  if (w->n == WAKES) {
    uv_close((uv_handle_t *)async, NULL);
  } else {
    uv_sem_post(&w->go);
  }
}

static void send_all(void *arg) {
  waker *w = arg;
  for (int i = 0; i < WAKES; i++) {
    uv_sem_wait(&w->go);
    demo_sleep(200e-6); /* the loop sleeps again */
    w->sent = demo_seconds();
    uv_async_send(&w->async);
    while (demo_seconds() < w->sent + 50e-6) continue; /* as a worker looks for more */
  }
}

static double median_of(waker *w) {
  qsort(w->times, WAKES, sizeof *w->times, compare);
  return w->times[WAKES / 2];
}

/* What the machine and libuv take: a thread that goes on running sends, the loop wakes. */
static double floor_of_wakes(uv_loop_t *loop) {
  static waker w;
  uv_thread_t thread;
  w.async.data = &w;
  uv_async_init(loop, &w.async, on_async);
  uv_sem_init(&w.go, 1);
  uv_thread_create(&thread, send_all, &w);
  uv_run(loop, UV_RUN_DEFAULT);
  uv_thread_join(&thread);
  uv_sem_destroy(&w.go);
  return median_of(&w);
}

static double stamp(double x, void *user) {
  demo_sleep(200e-6);
  ((waker *)user)->sent = demo_seconds();
  return x;
}

static void next_wake(waker *w);

static void on_woken(th_status status, const char *message, void *user) {
  waker *w = user;
  if (status != TH_OK) demo_die("a task failed: %s", message);
  took(w);
  if (w->n < WAKES) next_wake(w);
}

static void next_wake(waker *w) {
  th_scope scope = th_scope_begin();
  th_array *one = DEMO_MAKE(th_ones(TH_SCALAR, TH_F64, th_cpu(0)));
  DEMO_TRY(th_on_ready(DEMO_MAKE(th_map(one, stamp, w)), on_woken, w));
  th_scope_end(scope);
}

static double wakes_by_the_engine(uv_loop_t *loop) {
  static waker w;
  next_wake(&w);
  uv_run(loop, UV_RUN_DEFAULT);
  return median_of(&w);
}

int main(int argc, char **argv) {
  long ticks = 500;
  const demo_option options[] = {{"ticks", "ticks to count in each part", .integer = &ticks}};
  DEMO_OPTIONS(argc, argv, "A libuv loop whose timers keep ticking while arrays are computed.",
               options);
  if (ticks < 10 || ticks > MOST) demo_die("--ticks must be 10 to %d", MOST);
  uv_loop_t loop;
  if (uv_loop_init(&loop) != 0) demo_die("no loop");
  DEMO_TRY(th_uv_attach(&loop));
  demo_others();

  printf("a tick each %d ms, late by ms:        median       99%%     worst\n", TICK_MS);
  computed idle = tick_and_compute(&loop, "nothing else to do", ticks, 0, false);
  computed busy = tick_and_compute(&loop, "arrays computed meanwhile", ticks, CHAINS, false);
  computed wrong =
      tick_and_compute(&loop, "the same, waiting in the loop", (ticks + 9) / 10, CHAINS, true);
  printf("%ld results of %d products %d x %d; a callback held the loop for %.3f ms, waiting "
         "for %.3f ms\n",
         busy.results, STEPS, SIDE, SIDE, busy.held * 1e3, wrong.held * 1e3);
  double floor = floor_of_wakes(&loop), woken = wakes_by_the_engine(&loop);
  printf("from a result to its callback: median %.1f us; a bare uv_async_send() takes %.1f us\n",
         woken * 1e6, floor * 1e6);

  demo_check(busy.waits == 0, "the loop never waited");
  demo_check(wrong.waits > 0, "with th_wait() in it %s", "it did");
  demo_check(busy.results > 0, "results came");
  double others = demo_others();
  if (others > 0.2 || demo_cores() < 2) {
    printf("  not judged: ticks on time need two cores, and other programs took %.0f %% of the "
           "machine\n",
           others * 100);
  } else {
    demo_check(busy.median < TICK_MS * 1e-3,
               "half of the ticks came before the next was due (%.3f ms late, %.3f ms without)",
               busy.median * 1e3, idle.median * 1e3);
    demo_check(busy.held < wrong.held, "no callback held the loop as long as a wait does");
    demo_check(woken < 5 * floor + 50e-6, "a wake-up is near what the machine takes");
  }
  DEMO_TRY(th_uv_detach(&loop));
  uv_run(&loop, UV_RUN_DEFAULT);
  demo_check(uv_loop_close(&loop) == 0, "the loop closed");
  return demo_finish();
}
