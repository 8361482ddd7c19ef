/* Delivery of callbacks: the service thread, attached loops, stopping. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "engine/base/atomic.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/service.h"

TestSuite(service, .timeout = 60);

enum { MOST = 20000 };

static _Atomic int delivered, freed; /* freed: told that it is too late */
static int order[MOST];
static pthread_t where; /* of the last delivery */

typedef struct note {
  th__call call;
  int number;
  void (*then)(void);
} note;

static void note_run(th__call *call, bool deliver) {
  note *n = (note *)(void *)call;
  if (deliver) {
    where = pthread_self();
    if (n->then != NULL) n->then();
    int at = th__load(&delivered, TH__RELAXED);
    if (at < MOST) order[at] = n->number;
    th__fetch_add(&delivered, 1, TH__RELEASE);
  } else {
    th__fetch_add(&freed, 1, TH__RELEASE);
  }
  free(n);
}

static void post(int number, void (*then)(void)) {
  note *n = malloc(sizeof(*n));
  *n = (note){.call.run = note_run, .number = number, .then = then};
  th__service_post(&n->call);
}

/* Announces and posts. */
static bool call(int number, void (*then)(void)) {
  if (th__service_expect("call") != TH_OK) return false;
  post(number, then);
  return true;
}

/* Waits up to 10 s. */
static bool arrived(int n) {
  for (int i = 0; i < 10000 && th__load(&delivered, TH__ACQUIRE) < n; i++) th__sleep_ns(1000000);
  return th__load(&delivered, TH__ACQUIRE) == n;
}

Test(service, in_order_on_a_thread_of_its_own) {
  for (int i = 0; i < 1000; i++) cr_assert(call(i, NULL));
  cr_assert(arrived(1000));
  th__service_stop();
  for (int i = 0; i < 1000; i++) cr_assert(eq(int, order[i], i));
  cr_assert(not(pthread_equal(where, pthread_self())));
}

static void *post_many(void *arg) {
  for (int i = 0; i < 4000; i++) call(i, NULL);
  return arg;
}

Test(service, any_thread_may_post) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, post_many, NULL);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  cr_assert(arrived(16000));
  th__service_stop();
}

/* Who spins does so always, so the idlest of some moments tells. Threads that OpenBLAS starts when it is loaded spin at first. */
Test(service, sleeps_when_idle) {
  clock_t least = CLOCKS_PER_SEC;
  cr_assert(call(0, NULL));
  cr_assert(arrived(1));
  for (int i = 0; i < 20 && least >= CLOCKS_PER_SEC / 20; i++) {
    clock_t from = clock();
    th__sleep_ns(300000000);
    if (clock() - from < least) least = clock() - from;
  }
  cr_assert(lt(long, (long)least, (long)CLOCKS_PER_SEC / 20));
  th__service_stop();
}

static void call_again(void) {
  if (th__load(&delivered, TH__RELAXED) < 50) call(0, call_again);
}

Test(service, callbacks_may_announce_more) {
  cr_assert(call(0, call_again));
  cr_assert(arrived(51));
  th__service_stop();
}

static bool inside, on_service;

static void look_around(void) {
  inside = th__service_inside();
  on_service = th__service_thread();
}

Test(service, knows_its_threads) {
  cr_assert(not(th__service_inside()));
  cr_assert(not(th__service_thread()));
  cr_assert(call(0, look_around));
  cr_assert(arrived(1));
  th__service_stop();
  cr_assert(inside && on_service);
}

Test(service, stop_delivers_what_is_queued_and_nothing_later) {
  int64_t live = th__mem_live();
  cr_assert(eq(int, th__service_expect("late"), TH_OK));
  for (int i = 0; i < 100; i++) cr_assert(call(i, NULL));
  th__service_stop();
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 100));
  post(101, NULL); /* too late, but it must not leak */
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 100));
  cr_assert(eq(int, th__load(&freed, TH__ACQUIRE), 1));
  cr_assert(eq(int, th__service_expect("th_on_ready"), TH_ESHUTDOWN));
  cr_assert(strstr(th_last_error(), "th_on_ready") != NULL);
  th__service_stop();
  th__service_start();
  cr_assert(call(102, NULL));
  cr_assert(arrived(101));
  th__service_stop();
  cr_assert(eq(i64, th__mem_live(), live));
}

Test(service, exit_delivers_nothing) {
  uv_loop_t loop;
  cr_assert(eq(int, uv_loop_init(&loop), 0));
  cr_assert(eq(int, th__service_attach(&loop), TH_OK)); /* nobody runs it */
  for (int i = 0; i < 10; i++) cr_assert(call(i, NULL));
  th__service_exit();
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 0));
  cr_assert(eq(int, th__load(&freed, TH__ACQUIRE), 10));
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

Test(service, a_loop_delivers_and_lives_only_as_long) {
  int64_t live = th__mem_live();
  uv_loop_t loop;
  cr_assert(eq(int, uv_loop_init(&loop), 0));
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(th__service_thread());
  cr_assert(eq(int, uv_run(&loop, UV_RUN_DEFAULT), 0)); /* nothing outstanding: returns at once */
  for (int i = 0; i < 500; i++) cr_assert(call(i, NULL));
  cr_assert(eq(int, uv_run(&loop, UV_RUN_DEFAULT), 0));
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 500));
  cr_assert(pthread_equal(where, pthread_self()));
  for (int i = 0; i < 500; i++) cr_assert(eq(int, order[i], i));
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  cr_assert(not(th__service_thread()));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
  cr_assert(eq(i64, th__mem_live(), live));
  th__service_stop();
}

static void *post_later(void *arg) {
  th__sleep_ns(30000000);
  post(7, NULL);
  return arg;
}

Test(service, a_loop_waits_for_what_is_announced) {
  uv_loop_t loop;
  cr_assert(eq(int, uv_loop_init(&loop), 0));
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(eq(int, th__service_expect("test"), TH_OK));
  pthread_t thread;
  pthread_create(&thread, NULL, post_later, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 1));
  pthread_join(thread, NULL);
  cr_assert(eq(int, th__service_expect("test"), TH_OK));
  th__service_cancel(); /* lets the loop end, too */
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

Test(service, one_loop_at_a_time) {
  uv_loop_t one, two;
  uv_loop_init(&one);
  uv_loop_init(&two);
  cr_assert(eq(int, th__service_detach(&one), TH_EINVAL));
  cr_assert(eq(int, th__service_attach(&one), TH_OK));
  cr_assert(eq(int, th__service_attach(&two), TH_EBUSY));
  cr_assert(eq(int, th__service_detach(&two), TH_EINVAL));
  cr_assert(eq(int, th__service_detach(&one), TH_OK));
  cr_assert(eq(int, th__service_attach(&two), TH_OK));
  cr_assert(eq(int, th__service_detach(&two), TH_OK));
  uv_run(&one, UV_RUN_DEFAULT);
  uv_run(&two, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&one), 0));
  cr_assert(eq(int, uv_loop_close(&two), 0));
}

Test(service, what_is_outstanding_moves_when_the_loop_leaves) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(eq(int, th__service_expect("later"), TH_OK));
  cr_assert(call(1, NULL));
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  cr_assert(arrived(1));
  post(2, NULL);
  cr_assert(arrived(2));
  th__service_stop();
  cr_assert(not(pthread_equal(where, pthread_self())));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

static int ticks;

static void on_tick(uv_timer_t *timer) {
  if (++ticks == 20) uv_close((uv_handle_t *)timer, NULL);
}

static void keep_busy(void) {
  if (ticks < 20) call(0, keep_busy);
}

Test(service, callbacks_that_breed_leave_the_loop_its_turns) {
  uv_loop_t loop;
  uv_timer_t timer;
  uv_loop_init(&loop);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_tick, 1, 1);
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(call(0, keep_busy));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, ticks, 20));
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

static uv_loop_t *to_leave;

static void leave_inside(void) { th__service_detach(to_leave); }

Test(service, a_callback_may_detach_its_loop) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  to_leave = &loop;
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(call(0, leave_inside));
  cr_assert(call(1, NULL));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(arrived(2));
  th__service_stop();
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

Test(service, stop_on_the_loops_thread_delivers_there) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  for (int i = 0; i < 5; i++) cr_assert(call(i, NULL));
  th__service_stop();
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 5));
  cr_assert(pthread_equal(where, pthread_self()));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

static void stop_inside(void) { th__service_stop(); }

Test(service, a_callback_on_a_loop_may_stop_everything) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(call(0, stop_inside));
  cr_assert(call(1, NULL));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 2));
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

static _Atomic uint32_t loop_ready;

static void note_start(uv_timer_t *timer) {
  th__store(&loop_ready, 1, TH__RELEASE);
  uv_close((uv_handle_t *)timer, NULL);
}

/* Runs a loop with one callback announced that will never come. */
static void *run_loop(void *arg) {
  uv_loop_t loop;
  uv_timer_t timer;
  uv_loop_init(&loop);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, note_start, 0, 0);
  *(th_status *)arg = th__service_attach(&loop);
  if (th__service_expect("never") != TH_OK) *(th_status *)arg = TH_EINVAL;
  uv_run(&loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop) != 0) *(th_status *)arg = TH_EBUSY;
  return NULL;
}

Test(service, stop_on_another_thread_lets_the_loop_end) {
  pthread_t thread;
  th_status status = TH_EAGAIN;
  pthread_create(&thread, NULL, run_loop, &status);
  while (th__load(&loop_ready, TH__ACQUIRE) == 0) th__sleep_ns(1000000);
  cr_assert(call(1, NULL));
  th__service_stop();
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 1));
  pthread_join(thread, NULL); /* the loop was let go: it has nothing left to wait for */
  cr_assert(eq(int, status, TH_OK));
}

/* --- bursts --- */

static int turns;                 /* of the loop */
static int first_turn, last_turn; /* in which something was delivered */
static int64_t began, ended;      /* before the first and at the last delivery */

static void on_turn(uv_prepare_t *prepare) {
  (void)prepare;
  turns++;
}

static void note_turn(void) {
  if (first_turn == 0) first_turn = turns;
  last_turn = turns;
  ended = th__now_ns();
}

/* Runs a loop that counts its turns until everything announced is delivered. */
static void run_counting(void (*fill)(void)) {
  uv_loop_t loop;
  uv_prepare_t prepare;
  uv_loop_init(&loop);
  uv_prepare_init(&loop, &prepare);
  uv_prepare_start(&prepare, on_turn);
  uv_unref((uv_handle_t *)&prepare);
  began = th__now_ns();
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  fill();
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  uv_close((uv_handle_t *)&prepare, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

static void fill_burst(void) {
  for (int i = 0; i < 1000; i++) call(i, note_turn);
}

Test(service, a_burst_is_one_wake_up) {
  run_counting(fill_burst);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 1000));
  for (int i = 0; i < 1000; i++) cr_assert(eq(int, order[i], i));
  cr_assert(
      le(i64, last_turn - first_turn, (ended - began) / 1000000)); /* another after each 1 ms */
}

static void linger(void) {
  note_turn();
  th__sleep_ns(1100000);
}

static void fill_slow(void) {
  for (int i = 0; i < 20; i++) call(i, linger);
}

Test(service, slow_callbacks_leave_the_loop_its_turns) {
  run_counting(fill_slow);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 20));
  for (int i = 0; i < 20; i++) cr_assert(eq(int, order[i], i));
  cr_assert(eq(int, last_turn - first_turn, 19));
}

static _Atomic uint32_t entered, opened; /* gates that callbacks came to, and that may be passed */

static void pass_gate(void) {
  uint32_t mine = th__fetch_add(&entered, 1, TH__ACQ_REL) + 1;
  while (th__load(&opened, TH__ACQUIRE) < mine) th__sleep_ns(100000);
}

static void await_gate(uint32_t n) {
  while (th__load(&entered, TH__ACQUIRE) < n) th__sleep_ns(100000);
}

/* Keeps the service thread in callback 1, with callbacks 2 to n in what it took. */
static void close_gate(int n) {
  cr_assert(call(0, pass_gate));
  await_gate(1);
  for (int i = 1; i <= n; i++) cr_assert(call(i, i == 1 ? pass_gate : NULL));
  th__store(&opened, 1, TH__RELEASE);
  await_gate(2);
}

static void *open_gate_later(void *arg) {
  th__sleep_ns(20000000);
  th__store(&opened, 2, TH__RELEASE);
  return arg;
}

Test(service, a_loop_takes_over_what_the_thread_has_not_delivered) {
  uv_loop_t loop;
  pthread_t opener;
  uv_loop_init(&loop);
  close_gate(100);
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  pthread_create(&opener, NULL, open_gate_later, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  pthread_join(opener, NULL);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 101));
  for (int i = 0; i <= 100; i++) cr_assert(eq(int, order[i], i));
  cr_assert(pthread_equal(where, pthread_self()));
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
  th__service_stop();
}

Test(service, exit_takes_the_rest_from_the_thread) {
  close_gate(100);
  th__service_exit(); /* waits for nobody */
  th__store(&opened, 2, TH__RELEASE);
  for (int i = 0; i < 10000 && th__load(&freed, TH__ACQUIRE) < 99; i++) th__sleep_ns(1000000);
  cr_assert(eq(int, th__load(&freed, TH__ACQUIRE), 99));
  cr_assert(arrived(2)); /* those that ran */
}

static void leave_then_stop(void) {
  th__service_detach(to_leave);
  th__service_stop();
}

Test(service, a_callback_may_detach_and_then_stop) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  to_leave = &loop;
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(call(0, leave_then_stop));
  for (int i = 1; i <= 10; i++) cr_assert(call(i, NULL));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 11));
  for (int i = 0; i < 10; i++) cr_assert(eq(int, order[i], i + 1)); /* in order, on the thread */
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

/* The fifth detaches, and ends last. */
static void leave_as_fifth(void) {
  cr_assert(eq(int, th__service_detach(to_leave), TH_OK));
  cr_assert(arrived(99));
}

Test(service, what_a_leaving_loop_took_stays_in_order) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  to_leave = &loop;
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  for (int i = 0; i < 100; i++) cr_assert(call(i, i == 4 ? leave_as_fifth : NULL));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(arrived(100));
  for (int i = 0; i < 99; i++) cr_assert(eq(int, order[i], i < 4 ? i : i + 1));
  th__service_stop();
  cr_assert(not(pthread_equal(where, pthread_self())));
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}

static pid_t forked = -1;

static void fork_inside(void) {
  forked = fork();
  if (forked == 0) th__service_after_fork();
}

/* In the child, behind the callback that forked: nothing is left of the parent, and stopping waits for nobody. */
static int after_fork_inside(void) {
  if (th__load(&delivered, TH__ACQUIRE) != 1)
    return 1; /* the second callback stayed with the parent */
  if (th__service_expect("child") != TH_EFORK) return 2;
  th__service_start();
  th__service_stop();
  return 0;
}

Test(service, a_callback_on_a_loop_may_fork) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  cr_assert(eq(int, th__service_attach(&loop), TH_OK));
  cr_assert(call(0, fork_inside));
  cr_assert(call(1, NULL));
  while (th__load(&delivered, TH__ACQUIRE) == 0) uv_run(&loop, UV_RUN_ONCE);
  if (forked == 0) _exit(after_fork_inside());
  int status = -1;
  waitpid(forked, &status, 0);
  cr_assert(eq(int, status, 0));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, th__load(&delivered, TH__ACQUIRE), 2));
  cr_assert(eq(int, th__service_detach(&loop), TH_OK));
  uv_run(&loop, UV_RUN_DEFAULT);
  cr_assert(eq(int, uv_loop_close(&loop), 0));
}
