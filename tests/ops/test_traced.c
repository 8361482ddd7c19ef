/* What a trace tells of operators: work, shapes, memory, and workers that had nothing to do. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/tracing.h"
#include "thrum/thrum.h"

TestSuite(ops_traced, .timeout = 60);

static void start(uint32_t what, int workers) {
  th_config config = {.size = sizeof config, .workers = workers};
  cr_assert(eq(int, th_init(&config), TH_OK));
  cr_assert(eq(int, th_profile_start(what), TH_OK));
}

/* (3, 4) x (4, 5), and a sum of the product. */
static void calculate(void) {
  th_array *a = th_full(TH_SHAPE(3, 4), 2, TH_F32, th_cpu(0));
  th_array *b = th_full(TH_SHAPE(4, 5), 3, TH_F32, th_cpu(0));
  th_array *c = th_matmul(a, b), *d = th_add(c, c);
  cr_assert(eq(int, th_wait(d), TH_OK));
  th_array *all[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

static const json *args_of(const json *trace, const char *name) {
  return json_get(tracing_find(trace, "X", name), "args");
}

Test(ops_traced, work_and_shapes) {
  start(TH_PROFILE_ALL | TH_PROFILE_SHAPES, 1);
  calculate();
  json *trace = tracing_json();
  const json *matmul = args_of(trace, "matmul"), *add = args_of(trace, "add");
  cr_assert(epsilon_eq(dbl, json_number(matmul, "flops", 0), 2 * 3 * 4 * 5, 0));
  cr_assert(epsilon_eq(dbl, json_number(matmul, "moved", 0), 4 * (12 + 20 + 15), 0));
  cr_assert(eq(str, (char *)json_text(matmul, "note"), "f32(3,4) f32(4,5) -> f32(3,5)"));
  cr_assert(epsilon_eq(dbl, json_number(add, "flops", 0), 15, 0));
  cr_assert(eq(str, (char *)json_text(add, "note"), "f32(3,5) f32(3,5) -> f32(3,5)"));
  json_free(trace);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

/* The thread's record of that engine is gone. */
Test(ops_traced, arrays_of_an_earlier_engine_are_released) {
  th_array *a[2];
  for (int i = 0; i < 2; i++) a[i] = th_ones(TH_SHAPE(1000), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  start(TH_PROFILE_ALL, 1);
  th_release(a[0]); /* by a thread that the new engine does not know */
  calculate();
  th_release(a[1]);
  json *trace = tracing_json();
  (void)args_of(trace, "matmul");
  json_free(trace);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

static const char *note_of(const json *trace, const char *name) {
  return json_text(args_of(trace, name), "note");
}

/* Small calls whose operands lie alike keep no layouts, but their shapes are told like those of others. */
Test(ops_traced, shapes_of_small_calls) {
  start(TH_PROFILE_ALL | TH_PROFILE_SHAPES, 1);
  th_array *a = th_full(TH_SHAPE(3, 5), 2, TH_F32, th_cpu(0));
  th_array *turned = th_matrix_transpose(a); /* lies otherwise */
  th_array *made[] = {th_less(a, a), th_exp(a), th_multiply(turned, turned),
                      th_divide_scalar(a, 2)};
  cr_assert(eq(int, th_subtract_inplace(a, made[3]), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)note_of(trace, "less"), "f32(3,5) f32(3,5) -> bool(3,5)"));
  cr_assert(eq(str, (char *)note_of(trace, "exp"), "f32(3,5) -> f32(3,5)"));
  cr_assert(eq(str, (char *)note_of(trace, "multiply"), "f32(5,3) f32(5,3) -> f32(5,3)"));
  cr_assert(eq(str, (char *)note_of(trace, "divide_scalar"), "f32(3,5) -> f32(3,5)"));
  cr_assert(eq(str, (char *)note_of(trace, "subtract_inplace"), "f32(3,5) f32(3,5)"));
  json_free(trace);
  for (int i = 0; i < 4; i++) th_release(made[i]);
  th_release(turned);
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

/* More shapes than a thread remembers, each met again when it is forgotten. */
Test(ops_traced, each_of_many_shapes_is_told) {
  enum { SHAPES = 100, ROUNDS = 3 };
  int seen[SHAPES + 1] = {0};
  start(TH_PROFILE_ALL | TH_PROFILE_SHAPES, 1);
  for (int i = 0; i < ROUNDS * SHAPES; i++)
    th_release(th_full(TH_SHAPE(i % SHAPES + 1), 1, TH_F32, th_cpu(0)));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  json *trace = tracing_json();
  for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next) {
    const char *note = json_text(json_get(e, "args"), "note");
    int n = 0;
    if (strcmp(json_text(e, "name"), "full") != 0 || *note == 0) continue;
    cr_assert(eq(int, sscanf(note, "-> f32(%d)", &n), 1));
    cr_assert(n >= 1 && n <= SHAPES);
    seen[n]++;
  }
  for (int n = 1; n <= SHAPES; n++) cr_assert(eq(int, seen[n], ROUNDS));
  json_free(trace);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(ops_traced, shapes_only_on_request) {
  start(0, 1);
  calculate();
  json *trace = tracing_json();
  cr_assert(json_get(args_of(trace, "matmul"), "flops") != NULL);
  cr_assert(json_get(args_of(trace, "matmul"), "note") == NULL);
  const json *add = args_of(trace, "add"); /* the short way of small calls */
  cr_assert(epsilon_eq(dbl, json_number(add, "moved", 0), 3 * 15 * 4, 0));
  cr_assert(json_get(add, "note") == NULL);
  json_free(trace);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(ops_traced, memory_and_counters) {
  start(0, 1);
  calculate();
  json *trace = tracing_json();
  double peak = 0, at_peak = 0;
  const json *list = json_get(json_get(trace, "otherData"), "memory");
  cr_assert(list != NULL);
  for (const json *line = list->first; line != NULL; line = line->next) {
    peak = json_number(line, "peak", 0);
    at_peak += json_number(line, "at_peak", 0);
  }
  cr_assert(epsilon_eq(dbl, peak, 4 * (12 + 20 + 15 + 15), 0)); /* all four arrays */
  cr_assert(epsilon_eq(dbl, at_peak, peak, 0));
  cr_assert(tracing_find(trace, "C", "cpu:0 bytes live") != NULL);
  cr_assert(tracing_find(trace, "C", "cpu:0 bytes cached") != NULL);
  cr_assert(tracing_find(trace, "C", "cpu:0 pool hits %") != NULL);
  json_free(trace);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

static th_status nothing(void *arg, th_task_context *context) {
  th_profile_work(context, 12, 34, "said so");
  return TH_OK;
}

Test(ops_traced, idle_workers_have_rows_and_raw_tasks_may_tell) {
  start(0, 3);
  th_task task = {.name = "raw", .run = nothing, .flags = TH_TASK_INLINE};
  cr_assert(eq(int, th_push(&task), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  json *trace = tracing_json();
  int workers = 0;
  for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next)
    workers += strcmp(json_text(json_get(e, "args"), "kind"), "worker") == 0;
  cr_assert(eq(int, workers, 3));
  cr_assert(eq(str, (char *)json_text(args_of(trace, "raw"), "note"), "said so"));
  cr_assert(epsilon_eq(dbl, json_number(args_of(trace, "raw"), "flops", 0), 12, 0));
  json_free(trace);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

/* A task that waits for memory says since when. */
Test(ops_traced, a_wait_for_memory_shows) {
  th_config config = {.size = sizeof config, .workers = TH_NO_WORKERS};
  cr_assert(eq(int, th_init(&config), TH_OK));
  cr_assert(eq(int, th_memory_set_limit(th_cpu(0), 1 << 20), TH_OK));
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  th_array *a = th_full(TH_SHAPE(200, 1000), 1, TH_F32, th_cpu(0));
  th_array *b = th_exp(a);
  th_release(a);
  cr_assert(eq(int, th_wait_all(), TH_ENOMEM)); /* two of 800 KB do not fit: it waits, then fails */
  json *trace = tracing_json();
  const json *failed = args_of(trace, "exp");
  cr_assert(eq(str, (char *)json_text(failed, "status"), "failed"));
  cr_assert(json_get(failed, "starved") != NULL);
  json_free(trace);
  th_release(b);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}
