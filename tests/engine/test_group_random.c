/* Random programs with groups that are canceled on the way, beside a model that knows which bodies ran: no body starts after the
 * cancel, whatever is not poisoned or canceled runs, values and errors are those of the model.
 * ctest: timeout 600 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/base/mem.h"
#include "support/lagdevice.h"
#include "support/tasks.h"

TestSuite(group_random, .timeout = 300);

static const char *const modes[] = {"threads", "serial", "shuffle:5", "shuffle-threads:5"};
enum { MODES = 4, OPS = 300, VARS = 8, GROUPS = 4, WORKERS = 2, LANE_DEVICES = 2 };

typedef struct op {
  int in, out, group; /* -1 = none */
  uint64_t salt;
  _Atomic int ran, dropped;
} op;

static op ops[OPS];
static uint64_t cells[VARS];
static _Atomic int canceled[GROUPS]; /* th_group_cancel() has returned */
static _Atomic int late;             /* bodies that began behind it */

static uint64_t mix(uint64_t a, uint64_t b) { return (a ^ b) * UINT64_C(0x9e3779b97f4a7c15) + b; }

static th_status body(void *arg, th_task_context *context) {
  op *o = *(op **)arg;
  if (o->group >= 0 && th__load(&canceled[o->group], TH__ACQUIRE))
    th__fetch_add(&late, 1, TH__RELAXED);
  th__fetch_add(&o->ran, 1, TH__RELAXED);
  cells[o->out] = mix(cells[o->in], o->salt);
  return TH_OK;
}

static void drop(void *arg) { th__fetch_add(&(*(op **)arg)->dropped, 1, TH__RELAXED); }

static uint64_t seed;
static uint64_t draw(uint64_t n) {
  seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
  return (seed >> 33) % n;
}

static void push(op *o, th_var **v, th_group **groups) {
  uint64_t where = draw(4);
  th_task t = {.name = "op",
               .run = body,
               .drop = drop,
               .arg = &o,
               .arg_size = sizeof o,
               .device = where < 2 ? (th_device){TH_CPU, 0} : lag_device((int)where - 2),
               .reads = &v[o->in],
               .n_reads = 1,
               .writes = &v[o->out],
               .n_writes = 1,
               .priority = (int)draw(4) - 1,
               .group = o->group >= 0 && draw(2) ? groups[o->group] : NULL};
  if (t.group == NULL && o->group >= 0) th_group_use(groups[o->group]);
  cr_assert(eq(int, th_push(&t), TH_OK));
  th_group_use(NULL);
}

static void cancel(int g, th_group **groups) {
  cr_assert(eq(int, th_group_cancel(groups[g]), TH_OK));
  th__store(&canceled[g], 1, TH__RELEASE);
}

/* What each variable must hold, given which bodies of canceled groups ran. */
static void compare(th_var **v, const char *mode) {
  uint64_t values[VARS] = {0};
  bool poisoned[VARS] = {0};
  for (int i = 0; i < OPS; i++) {
    op *o = &ops[i];
    bool may_be_canceled = o->group >= 0 && canceled[o->group];
    cr_assert(eq(int, o->dropped, 1));
    if (poisoned[o->in]) {
      cr_assert(eq(int, o->ran, 0), "mode %s, op %d reads poison", mode, i);
    } else if (!may_be_canceled) {
      cr_assert(eq(int, o->ran, 1), "mode %s, op %d", mode, i);
    }
    poisoned[o->out] = o->ran == 0;
    if (o->ran) values[o->out] = mix(values[o->in], o->salt);
  }
  for (int i = 0; i < VARS; i++) {
    cr_assert(eq(int, th_wait_var_idle(v[i]), poisoned[i] ? TH_ECANCELED : TH_OK), "mode %s, %d",
              mode, i);
    if (!poisoned[i]) cr_assert(eq(u64, cells[i], values[i]), "mode %s, %d", mode, i);
  }
}

/* Bodies that were being started while a group was canceled may look late: one per thread that runs any. */
static int late_allowed(int m) {
  bool threads = m == 0 || m == 3;
  return threads ? GROUPS * (WORKERS + LANE_DEVICES) : 0;
}

static int program(int m, uint64_t number) {
  seed = number * 2 + 1;
  lag_install(number);
  tasks_init(modes[m], WORKERS, number % 3 == 0 ? 16 : 0);
  th_var *v[VARS];
  th_group *groups[GROUPS];
  for (int i = 0; i < VARS; i++) v[i] = th_var_new();
  for (int i = 0; i < GROUPS; i++) groups[i] = th_group_new();
  for (int i = 0; i < VARS; i++) cells[i] = 0;
  for (int i = 0; i < GROUPS; i++) canceled[i] = 0;
  late = 0;
  for (int i = 0; i < OPS; i++) {
    op *o = &ops[i];
    *o = (op){.in = (int)draw(VARS),
              .out = (int)draw(VARS),
              .group = (int)draw(GROUPS + 2) - 2,
              .salt = draw(1000)};
    if (o->group < 0) o->group = -1;
    push(o, v, groups);
    if (draw(OPS / 3) == 0) cancel((int)draw(GROUPS), groups);
  }
  cancel(0, groups);
  th_status status = th_wait_all();
  cr_assert(status == TH_OK || status == TH_ECANCELED, "%s", th_last_error());
  compare(v, modes[m]);
  int skipped = 0;
  for (int i = 0; i < OPS; i++) skipped += ops[i].ran == 0;
  cr_assert(late <= late_allowed(m), "mode %s, program %llu: %d late", modes[m],
            (unsigned long long)number, late);
  for (int i = 0; i < GROUPS; i++) th_group_release(groups[i]);
  for (int i = 0; i < VARS; i++) th_var_release(v[i]);
  th_shutdown();
  return skipped;
}

Test(group_random, programs_agree_with_the_model) {
  int rounds = ENGINE_PLAIN_MEMORY ? 60 : 15;
  for (int m = 0; m < MODES; m++) {
    int64_t live = 0, skipped = 0;
    for (int i = 0; i < rounds; i++) {
      skipped += program(m, (uint64_t)i);
      if (i == 2) live = th__mem_live();
    }
    cr_assert(eq(i64, th__mem_live(), live));
    cr_assert(skipped > 10 * rounds, "%lld skipped", (long long)skipped);
  }
}
