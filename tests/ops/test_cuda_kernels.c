/* Every operator on the kernel device against the CPU: the launchers of CUDA devices and the kernels of the .cu files, compiled
 * for the host. Where the CPU's formula is the same, bits must be equal; sums in another order are compared with tolerances.
 * The program gpu_kernels has the same tests, with a GPU in place of the kernel device (tests/gpu/test_kernels.c). */
#include "ops/kernel_suite.h"

#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "support/op_cases.h"

enum { MOST = 256, SEEDS = 2 };
enum { CONTIGUOUS, STRIDED, BROADCAST, EMPTY, LAYOUTS };
static const char *const layout_names[] = {"contiguous", "strided", "broadcast", "empty"};

/* No kernel can call a function of the host, and nonzero waits for the host anyway. */
static const char *const host_only[] = {"map", "zip", "reduce", "nonzero"};
/* One pass for what takes other operators there: nobody calls these on a device. */
static const char *const one_pass[] = {"norm_weights", "gradients_norm", "gradients_shrink"};
/* Reach the device in tests of their own: as gradients (cuda_slopes.c), and between devices. */
static const char *const elsewhere[] = {
    "copy_to", "unslice", "take_slope", "cross_entropy_slope", "along_slope", "undiagonal"};
#define AMONG(name, list) among((name), (list), sizeof(list) / sizeof *(list))

static bool among(const char *name, const char *const *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(name, list[i]) == 0) return true;
  return false;
}

TestSuite(cuda_kernels, .timeout = 240, .init = start, .fini = stop_engine);

/* --- operands --- */

static th_dtype index_type = TH_I64;

/* Values of the record's domain that every type holds: integers for integers, NaN and infinities apart. */
static th_array *operand(const op_case *c, const th_op *op, int i, th_dtype t, int layout,
                         int seed) {
  const op_case_input *in = &c->in[i];
  double lo = c->lo < c->hi ? c->lo : op->test.lo, hi = c->lo < c->hi ? c->hi : op->test.hi;
  double values[MOST];
  int64_t shape[4], size = 1;
  th_dtype own = in->kind == 'x' ? t : in->kind == 'i' ? index_type : TH_BOOL;
  if (!(lo < hi)) lo = -2, hi = 2;
  for (int d = 0; d < in->ndim; d++) {
    shape[d] = layout == EMPTY && in->shape[d] == 3 ? 0 : in->shape[d];
    size *= shape[d];
  }
  for (int64_t j = 0; j < size; j++) {
    double unit = (noise(j + 100 * i + 1000 * seed) + 2) / 4;
    values[j] = lo + unit * (hi - lo);
    if (in->kind == 'i') values[j] = floor(unit * in->limit);
    if (own == TH_BOOL) values[j] = unit > 0.5;
    if (in->kind == 'x' && th__dtype_in(t, TH_UINTS))
      values[j] = floor(lo < 0 ? unit * 5 : 1 + unit * 4);
    if (in->kind == 'x' && th__dtype_in(t, TH_SINTS))
      values[j] = floor(lo < 0 ? unit * 9 - 4 : 1 + unit * 4);
  }
  th_array *doubles = th_from_host(values, shape, in->ndim, TH_F64, th_cpu(0));
  th_array *a = th_astype(doubles, own);
  th_release(doubles);
  return a;
}

/* The array on a device, behind gaps and a negative step, or its first row repeated. */
static th_array *laid_out(th_array *a, th_device d, int layout) {
  static const char *const specs[] = {"...", "::-2", "::-2, 1::2", "::-2, ::2, 1::2",
                                      "::2, ::-2, ::2, 1::2"};
  int ndim = th_array_ndim(a);
  th_array *there = th_copy_to(a, d), *base, *view;
  if (ndim == 0 || layout == CONTIGUOUS || layout == EMPTY) return there;
  if (layout == BROADCAST) {
    base = th_slice(there, ":1, ...");
    view = th_broadcast_to(base, th_array_shape(a), ndim);
  } else {
    int64_t shape[TH_MAX_DIMS];
    for (int i = 0; i < ndim; i++) shape[i] = 2 * th_array_shape(a)[i];
    base = th_zeros(shape, ndim, th_array_dtype(a), d);
    view = th_slice(base, specs[ndim]);
    cr_assert(eq(int, th_assign(view, there), TH_OK));
  }
  th_release(base);
  th_release(there);
  return view;
}

/* --- comparison --- */

static double allowed(th_dtype t) {
  switch (t) {
  case TH_F16: return 0x1p-8;
  case TH_BF16: return 0x1p-5;
  case TH_F32: return 1e-5;
  case TH_F64: return 1e-12;
  default: return 0;
  }
}

/* Equal in type, shape and, with tolerance 0, bits. Both are released. */
static void expect_equal(th_array *got, th_array *wanted, double tolerance, const char *what) {
  cr_assert(got != NULL, "%s: %s", what, th_last_error());
  cr_assert(wanted != NULL, "%s on the CPU: %s", what, th_last_error());
  cr_assert(th_array_dtype(got) == th_array_dtype(wanted), "%s: type", what);
  cr_assert(eq(int, th_array_ndim(got), th_array_ndim(wanted)), "%s", what);
  size_t n = (size_t)th_array_size(wanted), size = th_dtype_size(th_array_dtype(wanted));
  cr_assert(eq(sz, (size_t)th_array_size(got), n), "%s", what);
  char *x = malloc(n * size + 1), *y = malloc(n * size + 1);
  cr_assert(th_read(got, x, n * size) == TH_OK, "%s: %s", what, th_last_error());
  cr_assert(th_read(wanted, y, n * size) == TH_OK, "%s: %s", what, th_last_error());
  for (size_t i = 0; i < n; i++) {
    double u = th__dtype_get(th_array_dtype(wanted), x + i * size);
    double v = th__dtype_get(th_array_dtype(wanted), y + i * size);
    bool same = memcmp(x + i * size, y + i * size, size) == 0 || (isnan(u) && isnan(v));
    bool near = same || (tolerance > 0 && fabs(u - v) <= tolerance * fmax(1, fabs(v)));
    cr_assert(near, "%s: element %d of %d is %.17g, not %.17g", what, (int)i, (int)n, u, v);
  }
  free(x);
  free(y);
  th_release(got);
  th_release(wanted);
}

/* --- every operator --- */

static th_array *run_case(const op_case *c, const th_op *op, th_dtype t, int layout, int seed,
                          th_device d) {
  op_call_context context = {op, t, d, layout == STRIDED};
  th_array *in[OP_CASE_INPUTS] = {NULL};
  int n = 0;
  for (; n < OP_CASE_INPUTS && c->in[n].kind; n++) {
    th_array *a = operand(c, op, n, t, layout, seed);
    in[n] = laid_out(a, d, layout);
    cr_assert(in[n] != NULL, "%s: %s", op->name, th_last_error());
    th_release(a);
  }
  th_array *out = c->call(in, n, &context);
  for (int i = 0; i < n; i++) th_release(in[i]);
  return out;
}

/* What the CPU computes, whatever the record or the case asks for: all of that has to run on the device. */
static uint32_t types_of_cpu(const op_case *c, const th_op *op) {
  uint32_t types = 0;
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    th_array *out = run_case(c, op, (th_dtype)t, CONTIGUOUS, 0, th_cpu(0));
    if (out != NULL && th_wait(out) == TH_OK) types |= TH_BIT(t);
    th_release(out);
  }
  th_clear_error();
  return types;
}

static void check_op(const op_case *c, const th_op *op, uint32_t types) {
  bool rounds =
      !kernel_device_exact() || (c->flags & OP_CASE_ROUNDS) || strcmp(op->name, "normal") == 0;
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    for (int layout = 0; layout < LAYOUTS; layout++)
      for (int seed = 0; seed < SEEDS; seed++) {
        char what[96];
        if (!(types & TH_BIT(t)) || (layout == BROADCAST && op->writes)) continue;
        if (layout == EMPTY && !(c->flags & OP_CASE_EMPTY)) continue;
        snprintf(what, sizeof what, "%s %s %s, indices %s", op->name, th_dtype_name((th_dtype)t),
                 layout_names[layout], th_dtype_name(index_type));
        kernel_device_backwards(seed);
        th_array *wanted = run_case(c, op, (th_dtype)t, layout, seed, th_cpu(0));
        th_array *got = run_case(c, op, (th_dtype)t, layout, seed, kernel_device());
        cr_assert(wanted != NULL, "%s: %s", what, th_last_error());
        bool own = t != TH_F64 && strncmp(op->name, "pow", 3) == 0; /* the host's formula */
        expect_equal(got, wanted, rounds || own ? allowed(th_array_dtype(wanted)) : 0, what);
      }
}

/* Each type that the CPU takes; returns how many. */
static int check_types(const op_case *c, const th_op *op) {
  uint32_t declared = c->dtypes ? c->dtypes : op->dtypes, types = types_of_cpu(c, op);
  int n = 0;
  cr_assert(types != 0 && (declared & ~types) == 0, "%s: the CPU takes types %x of %x", op->name,
            types, declared);
  check_op(c, op, types);
  for (; types != 0; types &= types - 1) n++;
  return n;
}

/* There nothing goes over the CPU, so what has no kernel says so. */
static void check_refused(const op_case *c, const th_op *op) {
  cr_assert(run_case(c, op, TH_F32, CONTIGUOUS, 0, kernel_device()) == NULL, "%s", op->name);
  cr_assert(eq(int, th_last_status(), TH_ENOSYS), "%s: %s", op->name, th_last_error());
  th_clear_error();
}

Test(cuda_kernels, every_operator) {
  int ops = 0, pairs = 0;
  for (int i = 0; i < th__op_count(); i++) {
    const th_op *op = th__op_at(i);
    op_case generic;
    const op_case *c = op_case_find(op, &generic);
    bool kernel = th__kernel_get(op, kernel_device().kind) != NULL;
    bool none = (op->flags & (TH_OP_VIEW | TH_OP_TRANSFER)) || AMONG(op->name, host_only) ||
                AMONG(op->name, one_pass);
    cr_assert(kernel != none, "%s %s a kernel", op->name, kernel ? "has" : "lacks");
    cr_assert(c != NULL, "%s has no case", op->name);
    if (AMONG(op->name, host_only)) check_refused(c, op);
    if (!kernel || AMONG(op->name, elsewhere)) continue;
    pairs += check_types(c, op);
    ops++;
  }
  printf("%d operators in %d pairs with types ran on the device\n", ops, pairs);
  cr_assert(kernel_device_launches() > 1000, "%d launches", kernel_device_launches());
}

Test(cuda_kernels, every_type_of_index) {
  int pairs = 0;
  for (int i = 0; i < th__op_count(); i++) {
    const th_op *op = th__op_at(i);
    op_case generic;
    const op_case *c = op_case_find(op, &generic);
    bool indexed = false;
    for (int j = 0; c != NULL && j < OP_CASE_INPUTS; j++) indexed |= c->in[j].kind == 'i';
    for (int t = 0; indexed && t < TH_DTYPE_COUNT; t++) {
      index_type = (th_dtype)t;
      uint32_t types = types_of_cpu(c, op);
      check_op(c, op, types);
      pairs += types != 0;
    }
  }
  cr_assert(eq(int, pairs, 6 * 8), "operators with indices by eight types of integers");
}

/* --- casts --- */

/* Values at the edges of every type: what saturates, wraps, rounds to even, is denormal or nothing at all. */
static const double edges[] = {
    0.0,      -0.0,      1,      -1,      0.5,     1.5,    2.5,      127.4,        128,
    -128.9,   255.5,     256,    -300,    32767.5, 65504,  65519.99, 65520,        70000,
    -40000,   1e-7,      6e-8,   2.98e-8, 1e-40,   3.4e38, 3.5e38,   2147483647.5, 4294967295.0,
    9.3e18,   -9.3e18,   1.9e19, 1.0 / 3, 257.0,   1e300,  -1e300,   2049,         2051,
    INFINITY, -INFINITY, NAN,    16777217};

Test(cuda_kernels, casts_between_all_types) {
  const int64_t n = sizeof edges / sizeof *edges;
  th_array *values = th_from_host(edges, &n, 1, TH_F64, th_cpu(0));
  for (int from = 0; from < TH_DTYPE_COUNT; from++)
    for (int to = 0; to < TH_DTYPE_COUNT; to++)
      for (int layout = 0; layout < EMPTY; layout++) {
        char what[96];
        snprintf(what, sizeof what, "cast %s to %s %s", th_dtype_name((th_dtype)from),
                 th_dtype_name((th_dtype)to), layout_names[layout]);
        th_array *a = th_astype(values, (th_dtype)from);
        th_array *here = laid_out(a, th_cpu(0), layout);
        th_array *there = laid_out(a, kernel_device(), layout);
        expect_equal(th_astype(there, (th_dtype)to), th_astype(here, (th_dtype)to), 0, what);
        th_release(here);
        th_release(there);
        th_release(a);
      }
  th_release(values);
}

/* --- long and many-dimensional loops --- */

/* Several blocks, packs of every width with a tail, and addresses that packs cannot be read from. */
Test(cuda_kernels, long_loops) {
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    for (int first = 0; first < 2; first++) {
      th_array *a = noisy(TH_SHAPE(70001), (th_dtype)t, 3),
               *b = noisy(TH_SHAPE(70001), (th_dtype)t, 2);
      char spec[16];
      snprintf(spec, sizeof spec, "%d:", first);
      th_array *x = th_slice(a, spec), *y = th_slice(b, spec);
      th_array *far_a = th_copy_to(a, kernel_device()), *far_b = th_copy_to(b, kernel_device());
      th_array *far_x = th_slice(far_a, spec), *far_y = th_slice(far_b, spec);
      expect_equal(th_less(far_x, far_y), th_less(x, y), 0, "less");
      expect_equal(th_copy(far_x), th_copy(x), 0, "copy");
      expect_equal(th_astype(far_x, TH_F32), th_astype(x, TH_F32), 0, "astype");
      if (t != TH_BOOL) {
        expect_equal(th_add(far_x, far_y), th_add(x, y), 0, "add");
        expect_equal(th_multiply_scalar(far_x, 3), th_multiply_scalar(x, 3), 0, "multiply_scalar");
        expect_equal(th_negative(far_x), th_negative(x), 0, "negative");
      }
      th_array *const all[] = {a, b, x, y, far_a, far_b, far_x, far_y};
      for (size_t i = 0; i < sizeof all / sizeof *all; i++) th_release(all[i]);
    }
}

/* Eight dimensions that do not join, cut into several launches. */
static th_array *dropped(th_array *a) {
  th_generator *g = th_generator_new(3);
  th_array *out = th_dropout(g, a, 0.5, true);
  th_generator_release(g);
  return out;
}

Test(cuda_kernels, eight_dimensions_in_pieces) {
  static const int64_t most[] = {INT64_C(1) << 30, 1000, 100, 10, 1};
  th_array *a = noisy(TH_SHAPE(2, 3, 2, 3, 4, 3, 2, 5), TH_F32, 3);
  th_array *far_a = th_copy_to(a, kernel_device());
  const int order[] = {7, 6, 5, 4, 3, 2, 1, 0};
  for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
    th_array *x = th_permute_dims(a, order, 8), *far_x = th_permute_dims(far_a, order, 8);
    th__cuda_loop_most = most[i];
    expect_equal(th_square(far_x), th_square(x), 0, "square");
    expect_equal(dropped(far_x), dropped(x), 0, "dropout");
    th__cuda_loop_most = most[0];
    th_release(x);
    th_release(far_x);
  }
  th_release(a);
  th_release(far_a);
}

/* Kernels divide by multiplying: right for every size and everything that is divided. */
Test(cuda_kernels, division_by_sizes) {
  static const int64_t more[] = {
      65535, 65536, 1000003, INT64_C(1) << 30, INT32_MAX, INT64_C(1) << 31, INT64_C(1) << 40};
  for (int i = 0; i < 307; i++) {
    int64_t size = i < 300 ? i + 1 : more[i - 300];
    th__cuda_shape s;
    th__cuda_shape_set(&s, &size, 1);
    for (int j = 0; j < 2000; j++) {
      uint32_t n = j < 1000   ? (uint32_t)j
                   : j < 1010 ? INT32_MAX - (uint32_t)(j - 1000)
                              : (uint32_t)((noise(j) + 2) * 0x1p29);
      uint32_t high = (uint32_t)((uint64_t)n * s.magic[0] >> 32), q = (high + n) >> s.shift[0];
      cr_assert(q == n / size && n - q * s.size[0] == n % size, "%u by %lld", n, (long long)size);
    }
  }
}

/* --- reductions --- */

typedef th_array *(*reduction)(const th_array *a, const int *axes, int n_axes, bool keepdims);

static void expect_reductions(th_array *a, const int *axes, int n, double scale) {
  static const struct {
    const char *name;
    reduction call;
    bool exact;
  } all[] = {{"sum", th_sum, false}, {"mean", th_mean, false}, {"max", th_max, true},
             {"min", th_min, true},  {"all", th_all, true},    {"any", th_any, true}};
  th_array *far = th_copy_to(a, kernel_device());
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    th_array *wanted = all[i].call(a, axes, n, false);
    double most = all[i].exact ? 0 : scale * allowed(th_array_dtype(wanted));
    expect_equal(all[i].call(far, axes, n, false), wanted, most, all[i].name);
  }
  th_release(far);
}

/* One output and many, few elements and many chunks, along rows, columns and both. */
Test(cuda_kernels, reductions_of_many_shapes) {
  static const int64_t shapes[][3] = {{1, 1, 300000}, {300, 7, 11},  {5, 1000, 3}, {2, 40, 1000},
                                      {40000, 1, 5},  {1, 3000, 40}, {2, 2, 2},    {1, 1, 1}};
  static const struct {
    int n, axes[3];
  } over[] = {{0, {0}}, {1, {0}}, {1, {1}}, {1, {2}}, {2, {0, 2}}, {2, {1, 2}}, {3, {0, 1, 2}}};
  static const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_I8, TH_U32, TH_BOOL};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
      th_array *a = noisy(shapes[s], 3, types[t], 3);
      for (size_t o = 0; o < sizeof over / sizeof *over; o++) {
        kernel_device_backwards(o % 2);
        expect_reductions(a, over[o].axes, over[o].n, 40);
      }
      th_release(a);
    }
}

Test(cuda_kernels, extremes_with_ties_and_nan) {
  float values[3000];
  for (int i = 0; i < 3000; i++) values[i] = (float)(i % 50);
  for (int round = 0; round < 3; round++) {
    if (round == 1) values[1777] = NAN;
    if (round == 2) values[900] = NAN;
    th_array *a = th_from_host(values, TH_SHAPE(1, 3000), TH_F32, th_cpu(0));
    th_array *b = th_reshape(a, TH_SHAPE(60, 50)), *far = th_copy_to(a, kernel_device());
    th_array *far_b = th_reshape(far, TH_SHAPE(60, 50));
    expect_equal(th_argmax(far, 1, false), th_argmax(a, 1, false), 0, "argmax");
    expect_equal(th_argmin(far, 1, true), th_argmin(a, 1, true), 0, "argmin");
    expect_equal(th_argmax(far_b, 0, false), th_argmax(b, 0, false), 0, "argmax of columns");
    expect_equal(th_argmin(far_b, 1, false), th_argmin(b, 1, false), 0, "argmin of rows");
    expect_equal(th_max(far, NULL, 0, false), th_max(a, NULL, 0, false), 0, "max");
    th_array *const all[] = {a, b, far, far_b};
    for (size_t i = 0; i < 4; i++) th_release(all[i]);
  }
}

/* The same bits whatever runs first: a block's threads share nothing but what phases hand on. */
Test(cuda_kernels, order_of_threads_does_not_matter) {
  th_array *a = noisy(TH_SHAPE(37, 5001), TH_F32, 3), *far = th_copy_to(a, kernel_device());
  for (int axis = 0; axis < 2; axis++) {
    th_array *out[2][2];
    for (int turned = 0; turned < 2; turned++) {
      kernel_device_backwards(turned);
      out[turned][0] = th_sum(far, &axis, 1, false);
      out[turned][1] = th_softmax(far, axis);
      cr_assert(eq(int, th_wait_all(), TH_OK));
    }
    expect_equal(out[1][0], out[0][0], 0, "sum");
    expect_equal(out[1][1], out[0][1], 0, "softmax");
  }
  th_release(a);
  th_release(far);
}

Test(cuda_kernels, softmax_of_long_and_short_lines) {
  static const int64_t shapes[][2] = {{3, 5000}, {700, 10}, {5000, 3}, {64, 1}, {1, 257}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int axis = 0; axis < 2; axis++) {
      th_array *a = noisy(shapes[s], 2, TH_F32, 30), *far = th_copy_to(a, kernel_device());
      expect_equal(th_softmax(far, axis), th_softmax(a, axis), 1e-5, "softmax");
      expect_equal(th_log_softmax(far, axis), th_log_softmax(a, axis), 1e-5, "log_softmax");
      th_release(a);
      th_release(far);
    }
}

/* --- indices --- */

/* Sums of rows have the bits of the CPU, however many threads share the target. */
Test(cuda_kernels, rows_are_added_in_order) {
  enum { N = 3000, ROWS = 50 };
  int32_t at[N];
  for (int i = 0; i < N; i++) at[i] = (int32_t)((noise(i) + 2) / 4 * ROWS);
  th_array *indices = th_from_host(at, TH_SHAPE(N), TH_I32, th_cpu(0));
  th_array *far_indices = th_copy_to(indices, kernel_device());
  for (int64_t columns = 1; columns <= 3001; columns = columns * 50 + 3)
    for (int half = 0; half < 2; half++) {
      th_dtype t = half ? TH_F16 : TH_F32;
      int64_t n = columns > 100 ? 20 : N;
      th_array *few = th_slice(indices, n < N ? ":20" : ":"),
               *far_few = th_slice(far_indices, n < N ? ":20" : ":");
      th_array *to = noisy(TH_SHAPE(ROWS, columns), t, 1),
               *from = noisy(TH_SHAPE(n, columns), t, 1);
      th_array *far_to = th_copy_to(to, kernel_device()),
               *far_from = th_copy_to(from, kernel_device());
      cr_assert(eq(int, th_scatter_add_inplace(to, few, from), TH_OK));
      cr_assert(eq(int, th_scatter_add_inplace(far_to, far_few, far_from), TH_OK));
      expect_equal(far_to, to, 0, "scatter_add_inplace");
      th_array *const all[] = {few, far_few, from, far_from};
      for (size_t i = 0; i < 4; i++) th_release(all[i]);
    }
  th_release(indices);
  th_release(far_indices);
}

/* A kernel cannot fail a task: NaN in floats, 0 in integers, nothing written beyond. */
Test(cuda_kernels, indices_out_of_range_show) {
  const int64_t at[] = {1, -1, 3, 0};
  th_array *indices = th_from_host(at, TH_SHAPE(4), TH_I64, th_cpu(0));
  th_array *far = th_copy_to(indices, kernel_device());
  th_array *values = th_arange(5, 8, 1, TH_F32, kernel_device());
  th_array *ints = th_astype(values, TH_I32);
  const double floats_wanted[] = {6, NAN, NAN, 5}, ints_wanted[] = {6, 0, 0, 5};
  const double hot_wanted[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0};
  th_array *taken = th_take(values, far, 0), *taken_ints = th_take(ints, far, 0);
  th_array *hot = th_one_hot(far, 3, TH_I32);
  cr_assert(worst_of(taken, floats_wanted, 4) == 0);
  cr_assert(worst_of(taken_ints, ints_wanted, 4) == 0);
  cr_assert(worst_of(hot, hot_wanted, 12) == 0);
  th_array *rows = th_ones(TH_SHAPE(4), TH_F32, kernel_device());
  const double sums_wanted[] = {6, 7, 7};
  cr_assert(eq(int, th_scatter_add_inplace(values, far, rows), TH_OK));
  cr_assert(worst_of(values, sums_wanted, 3) == 0);
  th_array *logits = th_zeros(TH_SHAPE(4, 3), TH_F32, kernel_device());
  cr_assert(eq(int, th_require_grad(logits), TH_OK));
  th_array *lost = th_cross_entropy(logits, far);
  cr_assert(eq(int, th_backward(lost, 0), TH_OK));
  double *slopes = values_of(th_grad(logits));
  for (int i = 0; i < 12; i++) cr_assert(isnan(slopes[i]) == (i >= 3 && i < 9));
  free(slopes);
  const double nan_wanted[] = {NAN};
  cr_assert(worst_of(lost, nan_wanted, 1) == 0);
  th_array *const all[] = {indices, far, values, ints, taken, taken_ints, hot, rows, logits, lost};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) th_release(all[i]);
}

/* --- random numbers --- */

static th_array *drawn(int what, int64_t n, th_dtype t, th_device d) {
  th_generator *g = th_generator_new(77);
  th_array *skipped = th_random_bits(g, TH_SHAPE(9), d), *out;
  switch (what) {
  case 0: out = th_random_bits(g, &n, 1, d); break;
  case 1: out = th_uniform(g, &n, 1, -1.5, 2.25, t, d); break;
  case 2: out = th_uniform(g, &n, 1, 1, 1 + 0x1p-9, t, d); break; /* rounds to the end often */
  case 3: out = th_normal(g, &n, 1, 1, 3, t, d); break;
  default: out = th_permutation(g, n, d); break;
  }
  th_release(skipped);
  th_generator_release(g);
  return out;
}

Test(cuda_kernels, random_numbers_are_those_of_the_cpu) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16};
  for (int what = 0; what < 5; what++)
    for (size_t t = 0; t < 4; t++)
      for (int64_t n = 1; n < 20000; n = n * 9 + 4) {
        char text[64];
        snprintf(text, sizeof text, "draw %d of %s", what, th_dtype_name(types[t]));
        expect_equal(drawn(what, n, types[t], kernel_device()), drawn(what, n, types[t], th_cpu(0)),
                     what == 3 ? allowed(types[t]) : 0, text);
      }
}

/* --- products --- */

static void expect_product(th_array *a, th_array *b, th_array *far_a, th_array *far_b) {
  th_array *wanted = th_matmul(a, b);
  th_dtype t = th_array_dtype(a);
  expect_equal(th_matmul(far_a, far_b), wanted, 8 * allowed(t), "matmul");
}

/* Vectors, matrices that are transposed or have gaps, batches that broadcast. */
Test(cuda_kernels, products_of_every_kind) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_BF16, TH_I32, TH_U8, TH_I64};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    th_array *a = noisy(TH_SHAPE(2, 3, 4, 5), types[t], 2),
             *b = noisy(TH_SHAPE(3, 5, 4), types[t], 2);
    th_array *far_a = th_copy_to(a, kernel_device()), *far_b = th_copy_to(b, kernel_device());
    static const char *const left[] = {":",    ":, :, ::-1, :", ":, :, :, ::2",
                                       "0, 1", "1, :, :1",      "0, 0, 2"};
    static const char *const right[] = {":", ":, ::-1, :", ":, ::2, :", "1", ":, :, :1", "0, :, 1"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
      th_array *x = th_slice(a, left[i]), *far_x = th_slice(far_a, left[i]);
      for (size_t j = 0; j < sizeof right / sizeof *right; j++) {
        if ((i == 2) != (j == 2)) continue; /* their inner size is 3 */
        th_array *y = th_slice(b, right[j]), *far_y = th_slice(far_b, right[j]);
        expect_product(x, y, far_x, far_y);
        th_release(y);
        th_release(far_y);
      }
      th_release(x);
      th_release(far_x);
    }
    th_array *turned = th_matrix_transpose(a), *far_turned = th_matrix_transpose(far_a);
    expect_product(a, turned, far_a, far_turned);
    expect_product(turned, a, far_turned, far_a);
    th_array *const all[] = {a, b, far_a, far_b, turned, far_turned};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) th_release(all[i]);
  }
}

/* Products of f32 are exact unless the host says that they need not be. */
Test(cuda_kernels, tf32_is_asked_for) {
  for (int asked = 0; asked < 2; asked++) {
    th_config config = {.size = sizeof config, .workers = 1, .tf32 = asked};
    cr_assert(eq(int, th_shutdown(), TH_OK));
    cr_assert(eq(int, th_init(&config), TH_OK));
    th_array *a = noisy(TH_SHAPE(64, 64), TH_F32, 1), *far = th_copy_to(a, kernel_device());
    expect_equal(th_matmul(far, far), th_matmul(a, a), asked ? 5e-2 : 8 * allowed(TH_F32),
                 "matmul");
    if (kernel_device_tf32() >= 0) cr_assert(eq(int, kernel_device_tf32(), asked));
    th_release(a);
    th_release(far);
  }
}
