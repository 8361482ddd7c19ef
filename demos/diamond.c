/* Four steps in the shape of a diamond: A = 2; C = A + 2; B = A + 1; D = B * C. The program just calls one after the
 * other; the engine sees that B and C only need A and runs them side by side. Each step is an operator of our own that
 * sleeps first, so that the overlap is easy to see. */
#include <math.h>

#include "common/demo.h"

typedef struct step_params {
  double multiply, add; /* y = multiply * x + add */
  double seconds;       /* to sleep before */
  int index;            /* which of the steps A, B, C, D this is */
} step_params;

static struct {
  double begin, end;
  int worker;
} schedule[4];

static th_status infer_same(const th_op_shape *inputs, th_op_shape *outputs, const void *params) {
  outputs[0] = inputs[0];
  return TH_OK;
}

/* Operators see strided inputs; ours are 2 x 2 and f32. */
static float element(const th_op_operand *o, int64_t i) {
  return ((const float *)o->data)[i / 2 * o->strides[0] + i % 2 * o->strides[1]];
}

static void sleep_and_note(const step_params *p, th_task_context *context) {
  schedule[p->index].begin = demo_seconds();
  schedule[p->index].worker = th_context_worker(context);
  demo_sleep(p->seconds);
}

static th_status run_affine(const th_op_operand *in, const th_op_operand *out, const void *params,
                            th_task_context *context) {
  const step_params *p = params;
  sleep_and_note(p, context);
  for (int64_t i = 0; i < 4; i++) {
    ((float *)out->data)[i] = (float)(p->multiply * (double)element(in, i) + p->add);
  }
  schedule[p->index].end = demo_seconds();
  return TH_OK;
}

static th_status run_product(const th_op_operand *in, const th_op_operand *out, const void *params,
                             th_task_context *context) {
  const step_params *p = params;
  sleep_and_note(p, context);
  for (int64_t i = 0; i < 4; i++) {
    ((float *)out->data)[i] = element(&in[0], i) * element(&in[1], i);
  }
  schedule[p->index].end = demo_seconds();
  return TH_OK;
}

static th_array *affine(th_array *x, double multiply, double add, double seconds, int index) {
  th_array *y = NULL;
  step_params p = {.multiply = multiply, .add = add, .seconds = seconds, .index = index};
  static const char *const names[] = {"A", "B", "C"};
  DEMO_TRY(th_op_call(names[index], TH_ARRAYS(x), &p, &y, 1));
  return y;
}

static th_array *product(th_array *x, th_array *y, double seconds, int index) {
  th_array *z = NULL;
  step_params p = {.seconds = seconds, .index = index};
  DEMO_TRY(th_op_call("D", TH_ARRAYS(x, y), &p, &z, 1));
  return z;
}

static void register_operators(void) {
  th_op_definition d = {.size = sizeof d,
                        .n_inputs = 1,
                        .n_outputs = 1,
                        .params_size = sizeof(step_params),
                        .infer = infer_same,
                        .cpu = run_affine};
  static const char *const names[] = {"A", "B",
                                      "C"}; /* one name each, so that a trace tells them apart */
  for (int i = 0; i < 3; i++) {
    d.name = names[i];
    DEMO_TRY(th_op_register(&d));
  }
  d.name = "D";
  d.n_inputs = 2;
  d.cpu = run_product;
  DEMO_TRY(th_op_register(&d));
}

/* Runs the diamond; returns the seconds from the first call until D can be read. */
static double run_diamond(double seconds, float result[4]) {
  th_scope scope = th_scope_begin();
  th_array *ones = DEMO_MAKE(th_ones(TH_SHAPE(2, 2), TH_F32, th_cpu(0)));
  DEMO_TRY(th_wait(ones));
  double start = demo_seconds();
  th_array *a = affine(ones, 2, 0, seconds, 0);
  th_array *c = affine(a, 1, 2, seconds, 2);
  th_array *b = affine(a, 1, 1, seconds, 1);
  th_array *d = product(b, c, seconds, 3);
  double submitted = demo_seconds();
  DEMO_TRY(th_read(d, result, 4 * sizeof(float)));
  double end = demo_seconds();
  printf("submitted in %.3f ms, done after %.1f ms\n", (submitted - start) * 1e3,
         (end - start) * 1e3);
  for (int i = 0; i < 4; i++) {
    schedule[i].begin -= start;
    schedule[i].end -= start;
  }
  th_scope_end(scope);
  return end - start;
}

int main(int argc, char **argv) {
  enum { TRIES = 20 };
  long sleep_ms = 50;
  const demo_option options[] = {
      {"sleep", "milliseconds that each step sleeps", .integer = &sleep_ms}};
  DEMO_OPTIONS(argc, argv, "A = 2; C = A + 2; B = A + 1; D = B * C, with B and C side by side.",
               options);
  if (sleep_ms < 0 || sleep_ms > 10000) demo_die("--sleep must be 0 to 10000");
  DEMO_TRY(th_init(&(th_config){.size = sizeof(th_config), .workers = 2}));
  register_operators();

  float d[4];
  double seconds = (double)sleep_ms * 1e-3, tolerance = 0.3 * seconds, total = 0;
  /* A busy machine may delay a step, so a run that came late is repeated. */
  for (int i = 0; i < TRIES; i++) {
    DEMO_TRY(th_profile_start(TH_PROFILE_ALL));
    total = run_diamond(seconds, d);
    DEMO_TRY(th_profile_stop(NULL));
    if (fabs(total - 3 * seconds) <= tolerance) break;
  }
  printf("\nD = [[%g %g]\n     [%g %g]]\n\n", (double)d[0], (double)d[1], (double)d[2],
         (double)d[3]);
  for (int i = 0; i < 4; i++) {
    char who[32] = "the waiting thread";
    if (schedule[i].worker >= 0) snprintf(who, sizeof who, "worker %d", schedule[i].worker);
    printf("%c  %6.1f .. %6.1f ms on %s\n", "ABCD"[i], schedule[i].begin * 1e3,
           schedule[i].end * 1e3, who);
  }
  putchar('\n');
  DEMO_TRY(th_profile_ascii(stdout, 80));
  putchar('\n');
  for (int i = 0; i < 4; i++) demo_check(d[i] == 12, "D[%d][%d] is 12", i / 2, i % 2);
  if (sleep_ms > 0) {
    double overlap =
        fmin(schedule[1].end, schedule[2].end) - fmax(schedule[1].begin, schedule[2].begin);
    demo_check(overlap >= 0.7 * seconds, "B and C overlap for %.1f ms", overlap * 1e3);
    demo_check(fabs(total - 3 * seconds) <= tolerance, "took %.1f ms: three steps, not four",
               total * 1e3);
  }
  return demo_finish();
}
