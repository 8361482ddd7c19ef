/* Two threads change one number. Plain ++ loses updates, a mutex keeps them, and the engine keeps them without a lock in
 * sight: both threads submit operations that write the same array, and writes take effect one after the other. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/demo.h"

enum { PLAIN = 10000000, LOCKED = 1000000, ENGINE = 100000 };

static volatile long counter; /* volatile: each ++ is a load, an add and a store */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t start_line;
static th_array *shared;

/* Each on a core of its own, both starting together: otherwise they may run one after the other and lose nothing. */
static void line_up(long thread) {
  cpu_set_t allowed, mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    int seen = 0, wanted = (int)thread % CPU_COUNT(&allowed);
    for (int i = 0; i < CPU_SETSIZE; i++) {
      if (CPU_ISSET(i, &allowed) && seen++ == wanted) CPU_SET(i, &mine);
    }
    pthread_setaffinity_np(pthread_self(), sizeof mine, &mine);
  }
  pthread_barrier_wait(&start_line);
}

static void *count_plain(void *thread) {
  line_up((long)thread);
  for (int i = 0; i < PLAIN; i++) counter = counter + 1;
  return NULL;
}

static void *count_locked(void *thread) {
  line_up((long)thread);
  for (int i = 0; i < LOCKED; i++) {
    pthread_mutex_lock(&lock);
    counter = counter + 1;
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

static void *count_engine(void *thread) {
  pthread_barrier_wait(&start_line);
  for (int i = 0; i < ENGINE; i++) DEMO_TRY(th_add_scalar_inplace(shared, 1));
  return NULL;
}

/* Runs fn on two threads; returns the seconds until both have returned. */
static double on_two_threads(void *(*fn)(void *)) {
  pthread_t threads[2];
  pthread_barrier_init(&start_line, NULL, 3);
  for (long i = 0; i < 2; i++) {
    if (pthread_create(&threads[i], NULL, fn, (void *)i) != 0) demo_die("cannot start a thread");
  }
  pthread_barrier_wait(&start_line);
  double start = demo_seconds();
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  double seconds = demo_seconds() - start;
  pthread_barrier_destroy(&start_line);
  return seconds;
}

static void lost_updates(void) {
  counter = 0;
  on_two_threads(count_plain);
  printf("plain ++:  %ld of %d left", counter, 2 * PLAIN);
  puts(counter < 2 * PLAIN ? ": the others were lost" : " (no luck: the threads did not meet)");
  counter = 0;
  double seconds = on_two_threads(count_locked);
  printf("mutex:     %.1f ns per locked ++ of two threads\n", seconds / (2 * LOCKED) * 1e9);
  demo_check(counter == 2 * LOCKED, "all %d kept", 2 * LOCKED);
}

static void engine_order(void) {
  shared = DEMO_MAKE(th_zeros(TH_SCALAR, TH_I64, th_cpu(0)));
  double start = demo_seconds();
  double submitting = on_two_threads(count_engine);
  double value = demo_item(shared);
  double seconds = demo_seconds() - start;
  printf("engine:    %.1f ns per operation to submit, %.1f ns until all were done\n",
         submitting / (2 * ENGINE) * 1e9, seconds / (2 * ENGINE) * 1e9);
  demo_check(value == 2 * ENGINE, "the array holds %.0f", value);
  th_release(shared);
}

static th_status fail_on_purpose(void *arg, th_task_context *context) {
  return th_context_fail(context, TH_EKERNEL, "the disk is full of eels");
}

/* A task that fails does not hold anything up: what depends on it fails with its message, the rest goes on. */
static void failing_task(void) {
  puts("a task that fails:");
  th_array *bad = DEMO_MAKE(th_zeros(TH_SHAPE(4), TH_F32, th_cpu(0)));
  th_array *good = DEMO_MAKE(th_ones(TH_SHAPE(4), TH_F32, th_cpu(0)));
  th_var *bad_var = th_array_var(bad);
  DEMO_TRY(th_push(&(th_task){
      .name = "fill_from_disk", .run = fail_on_purpose, .writes = &bad_var, .n_writes = 1}));
  th_array *dependent = DEMO_MAKE(th_add(bad, good));
  th_array *sum = DEMO_MAKE(th_sum(good, NULL, 0, false));

  th_status status = th_wait(dependent);
  demo_check(status == TH_EKERNEL && strstr(th_last_error(), "fill_from_disk"),
             "waiting for bad + good: %s: %s", th_status_name(status), th_last_error());
  demo_check(demo_item(sum) == 4, "independent work is done");
  double start = demo_seconds();
  th_wait_all(); /* reports failures that nobody has seen yet */
  demo_check(demo_seconds() - start < 1, "th_wait_all() returns");
  DEMO_TRY(th_fill(bad, 1)); /* overwriting all of it cures the array */
  th_array *again = DEMO_MAKE(th_sum(bad, NULL, 0, false));
  demo_check(demo_item(again) == 4, "overwritten, the array is usable again");
  th_array *all[] = {bad, good, dependent, sum, again};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) th_release(all[i]);
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Two threads, one number: plain, with a mutex, through the engine.",
               NULL, 0);
  lost_updates();
  engine_order();
  failing_task();
  return demo_finish();
}
