/* Groups: what has not begun is canceled, in every mode and on lane devices; what is outside sees poison; nothing leaks. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/mem.h"
#include "support/lagdevice.h"
#include "support/tasks.h"
#include "thrum/thrum.h"

TestSuite(group, .timeout = 60);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};
enum { MODES = 4, N = 50 };

static _Atomic int ran, dropped;

static th_status count_run(void *arg, th_task_context *context) {
  th__fetch_add(&ran, 1, TH__RELAXED);
  return TH_OK;
}

static void count_drop(void *arg) { th__fetch_add(&dropped, 1, TH__RELAXED); }

static th_status push_in(th_group *g, th_device d, th_var *reads, th_var *writes, uint32_t flags) {
  int arg = 0;
  th_task t = {.name = "member",
               .run = count_run,
               .drop = count_drop,
               .arg = &arg,
               .arg_size = sizeof arg,
               .device = d,
               .reads = &reads,
               .n_reads = reads != NULL,
               .writes = &writes,
               .n_writes = writes != NULL,
               .flags = flags,
               .group = g};
  return th_push(&t);
}

static const th_device cpu = {TH_CPU, 0};

static void begin(const char *mode) {
  lag_install(11);
  tasks_init(mode, 2, 0);
  ran = dropped = 0;
}

/* Everything is given back. */
static void end(void) {
  th_shutdown();
  cr_assert(eq(long, (long)th__mem_live(), 0));
}

static bool says(const char *text) { return strstr(th_last_error(), text) != NULL; }

Test(group, tasks_of_a_canceled_group_do_not_run) {
  for (int m = 0; m < MODES; m++) {
    for (int lane = 0; lane < 2; lane++) {
      begin(modes[m]);
      th_device d = lane ? lag_device(0) : cpu;
      th_var *v = th_var_new(), *outside = th_var_new();
      th_group *g = th_group_new();
      cr_assert(not(th_group_canceled(g)));
      cr_assert(eq(int, th_group_cancel(g), TH_OK));
      cr_assert(eq(int, th_group_cancel(g), TH_OK));
      cr_assert(th_group_canceled(g));
      for (int i = 0; i < N; i++) cr_assert(eq(int, push_in(g, d, NULL, v, 0), TH_OK));
      push_in(NULL, cpu, v, outside, 0);
      th_group_release(g);
      cr_assert(eq(int, th_wait_var(outside), TH_ECANCELED), "mode %s", modes[m]);
      cr_assert(says("member: canceled"), "%s", th_last_error());
      cr_assert(eq(int, th_wait_var_idle(v), TH_ECANCELED));
      cr_assert(eq(int, ran, 0));
      cr_assert(eq(int, dropped, N + 1));
      th_engine_stats s = {.size = sizeof s};
      th_engine_get_stats(&s);
      cr_assert(eq(u64, s.skipped, N + 1));
      cr_assert(eq(u64, s.failed, 0));
      push_in(NULL, d, NULL, v, 0); /* a new write cures */
      cr_assert(eq(int, th_wait_var(v), TH_OK));
      cr_assert(eq(int, ran, 1));
      th_var_release(v);
      th_var_release(outside);
      end();
    }
  }
}

Test(group, what_has_begun_finishes_and_what_waits_does_not_begin) {
  for (int m = 0; m < MODES; m += 3) {
    begin(modes[m]);
    th_var *v = th_var_new(), *w = th_var_new();
    th_group *g = th_group_new();
    engine_gate gate = {0};
    cr_assert(eq(ptr, th_group_use(g), NULL));
    engine_push_gate(&gate, v);
    for (int i = 0; i < N; i++) push_in(NULL, i % 2 ? cpu : lag_device(1), v, w, 0);
    cr_assert(eq(ptr, th_group_use(NULL), g));
    engine_await(&gate);
    th_group_cancel(g);
    engine_open(&gate);
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    cr_assert(eq(int, engine_passed(&gate), 1));
    cr_assert(eq(int, th_wait_all(), TH_ECANCELED));
    cr_assert(says("canceled"), "%s", th_last_error());
    cr_assert(eq(int, th_wait_var(w), TH_ECANCELED));
    cr_assert(eq(int, ran, 0));
    cr_assert(eq(int, dropped, N));
    th_group_release(g);
    th_var_release(v);
    th_var_release(w);
    end();
  }
}

Test(group, without_cancel_everything_runs) {
  for (int m = 0; m < MODES; m++) {
    begin(modes[m]);
    th_var *v = th_var_new();
    th_group *g = th_group_new();
    for (int i = 0; i < N; i++) push_in(g, i % 2 ? cpu : lag_device(0), NULL, v, 0);
    th_group_release(th_group_retain(g));
    th_group_release(g); /* its tasks hold it */
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    th_wait_all();
    cr_assert(eq(int, ran, N));
    cr_assert(eq(int, dropped, N));
    th_var_release(v);
    end();
  }
}

Test(group, cleanup_runs_nevertheless) {
  begin("threads");
  th_var *v = th_var_new();
  th_group *g = th_group_new();
  th_group_cancel(g);
  push_in(g, cpu, NULL, v, 0);
  push_in(g, cpu, v, NULL, TH_TASK_ALWAYS);
  th_group_release(g);
  cr_assert(eq(int, th_wait_var_idle(v), TH_ECANCELED));
  cr_assert(eq(int, ran, 1));
  th_var_release(v);
  end();
}

static _Atomic(th_token *) token;

static th_status take_token(void *arg, th_task_context *context) {
  th__store(&token, th_context_token(context), TH__RELEASE);
  return TH_OK;
}

static th_status push_token(th_group *g, th_var *v) {
  return th_push_async(&(th_task){.run = take_token, .writes = &v, .n_writes = 1, .group = g});
}

Test(group, an_open_token_has_begun) {
  for (int m = 0; m < MODES; m++) {
    if (m == 2) continue; /* there only a wait without end would start the body */
    begin(modes[m]);
    th_var *v = th_var_new(), *w = th_var_new();
    th_group *g = th_group_new();
    token = NULL;
    push_token(g, v);
    cr_assert(eq(int, th_wait_var_for(v, 1000000), TH_ETIMEDOUT));
    while (th__load(&token, TH__ACQUIRE) == NULL) th_wait_var_for(v, 1000000);
    th_group_cancel(g);
    push_token(g, w);
    cr_assert(eq(int, th_wait_var(w), TH_ECANCELED));
    cr_assert(eq(int, th_token_signal(token, TH_OK, NULL), TH_OK));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    th_group_release(g);
    th_var_release(v);
    th_var_release(w);
    end();
  }
}

/* A body on a thread that uses a group starts with none, and leaves the thread's alone. */
static th_status nested(void *arg, th_task_context *context) {
  th_var *v = *(th_var **)arg;
  th_group *mine = th_group_new(), *before = th_group_use(mine);
  bool none = before == NULL;
  th_group_use(before);
  th_group_release(mine);
  th_status status = push_in(NULL, cpu, NULL, v, 0);
  return none ? status : TH_EINVAL;
}

Test(group, bodies_have_a_group_of_their_own) {
  for (int m = 0; m < MODES; m++) {
    begin(modes[m]);
    th_var *v = th_var_new(), *w = th_var_new();
    th_group *g = th_group_new();
    engine_push("nested", nested, v, NULL, 0, &w, 1);
    th_group_cancel(g);
    th_group_use(g);
    cr_assert(eq(int, th_wait_var(w), TH_OK), "%s", th_last_error()); /* helps */
    cr_assert(eq(ptr, th_group_use(g), g));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    cr_assert(eq(int, ran, 1));
    th_group_use(NULL);
    th_group_release(g);
    th_var_release(v);
    th_var_release(w);
    end();
  }
}

Test(group, operations_on_arrays_are_canceled) {
  for (int m = 0; m < MODES; m++) {
    begin(modes[m]);
    th_array *a = th_full((int64_t[]){100}, 1, 2, TH_F32, cpu);
    th_group *g = th_group_new();
    th_group_cancel(g);
    th_group_use(g);
    th_array *b = th_add(a, a), *c = th_multiply(b, a);
    th_group_use(NULL);
    th_array *e = th_add(a, c);
    cr_assert(eq(int, th_wait(a), TH_OK));
    cr_assert(eq(int, th_wait(b), TH_ECANCELED));
    cr_assert(says("add: canceled"), "%s", th_last_error());
    cr_assert(eq(int, th_wait(c), TH_ECANCELED));
    cr_assert(eq(int, th_wait(e), TH_ECANCELED));
    th_release(a);
    th_release(b);
    th_release(c);
    th_release(e);
    th_group_release(g);
    end();
  }
}

Test(group, bad_calls) {
  begin("threads");
  cr_assert(eq(int, th_group_cancel(NULL), TH_EINVAL));
  cr_assert(not(th_group_canceled(NULL)));
  th_group_release(NULL);
  cr_assert(eq(ptr, th_group_retain(NULL), NULL));
  th_group *g = th_group_new();
  cr_assert(eq(int, th_push(&(th_task){.group = g}), TH_EINVAL)); /* no body: joins nothing */
  th_group_release(g);
  end();
}
