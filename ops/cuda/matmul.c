/* Owns the launchers of matmul and linear: operands as the library can read them, one call per run of matrices with even
 * distances, then the bias. */
#include "ops/cuda/matmul.h"

#include "engine/base/error.h"
#include "engine/engine.h"
#include "ops/cuda/cuda.h"
#include "ops/loops/runs.h"

/* One operand seen as matrices [rows, columns], with the leading dimensions of the result. */
typedef struct operand {
  th_layout batch;
  int64_t rows, columns, row, column; /* sizes, strides */
  const char *data;
} operand;

static operand operand_of(const th_layout *l, const void *data, bool vector_is_row) {
  operand o = {.batch = *l, .data = data};
  o.batch.ndim = l->ndim > 2 ? l->ndim - 2 : 0;
  if (l->ndim > 1) {
    o.rows = l->shape[l->ndim - 2];
    o.columns = l->shape[l->ndim - 1];
    o.row = l->strides[l->ndim - 2];
    o.column = l->strides[l->ndim - 1];
  } else if (vector_is_row) {
    o.rows = 1;
    o.columns = l->shape[0];
    o.column = l->strides[0];
  } else {
    o.rows = l->shape[0];
    o.columns = 1;
    o.row = l->strides[0];
  }
  return o;
}

/* Columns next to each other and rows at least their length apart. */
static bool rows_readable(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  return (column == 1 || columns == 1) && (rows == 1 || row >= columns);
}

static bool readable(const operand *o) {
  return rows_readable(o->rows, o->columns, o->row, o->column) ||
         rows_readable(o->columns, o->rows, o->column, o->row);
}

/* From matrix to matrix; the library says nothing of negative distances. */
static bool goes_forward(const th_layout *batch) {
  for (int d = 0; d < batch->ndim; d++)
    if (batch->strides[d] < 0) return false;
  return true;
}

/* The operand, or a copy without gaps if the library cannot read it. */
static th_status prepare(const th_kernel_args *k, int i, bool integer, operand *o) {
  th_layout l = k->in[i];
  *o = operand_of(&l, k->in_data[i], i == 0);
  if (integer || (readable(o) && goes_forward(&o->batch))) return TH_OK;
  void *room;
  th__layout_set_contiguous(&l);
  TH_TRY(th__cuda_scratch(k->context, th__layout_bytes(&l), &room));
  TH_TRY(th__cuda_move(k->context, &l, room, &k->in[i], k->in_data[i]));
  *o = operand_of(&l, room, i == 0);
  return TH_OK;
}

static int64_t stride_of(const th_layout *l) { return l->ndim > 0 ? l->strides[0] : 0; }

static th_status product_of_integers(th_task_context *context, th_dtype t, const operand *a,
                                     const operand *b, int64_t batch, void *c) {
  static th__cuda_kernel kernels[] = {{.name = "matmul_u8"},
                                      {.name = "matmul_u16"},
                                      {.name = "matmul_u32"},
                                      {.name = "matmul_u64"}};
  int64_t size = th__dtype_size(t);
  th__cuda_product g = {.m = a->rows,
                        .n = b->columns,
                        .k = a->columns,
                        .batch = batch,
                        .a_row = a->row,
                        .a_column = a->column,
                        .a_batch = stride_of(&a->batch),
                        .b_row = b->row,
                        .b_column = b->column,
                        .b_batch = stride_of(&b->batch)};
  const void *x = a->data, *y = b->data;
  void *args[] = {&c, &x, &y, &g};
  return th__cuda_blocks(context, &th__image_matmul,
                         &kernels[size == 1   ? 0
                                  : size == 2 ? 1
                                  : size == 4 ? 2
                                              : 3],
                         th__cuda_blocks_for(context, batch * g.m * g.n), args);
}

/* A dimension of size 1 has any stride: the library wants a valid one. */
static int64_t leading(const operand *o, bool *transposed) {
  *transposed = !rows_readable(o->rows, o->columns, o->row, o->column);
  int64_t step = *transposed ? o->column : o->row, least = *transposed ? o->rows : o->columns;
  return step > least ? step : least;
}

static th_status product_of_floats(th_task_context *context, th_dtype t, const operand *a,
                                   const operand *b, int64_t batch, void *c) {
  th__cuda_gemm_args g = {.dtype = t,
                          .m = a->rows,
                          .n = b->columns,
                          .k = a->columns,
                          .batch = batch,
                          .tf32 = th__engine_config()->tf32,
                          .ldc = b->columns,
                          .stride_a = stride_of(&a->batch),
                          .stride_b = stride_of(&b->batch),
                          .stride_c = a->rows * b->columns,
                          .a = a->data,
                          .b = b->data,
                          .c = c};
  g.lda = leading(a, &g.transpose_a);
  g.ldb = leading(b, &g.transpose_b);
  return th__cuda_gemm(context, &g);
}

/* All matrices: dimensions of the batch but the last are gone through one by one. */
static th_status products(th_task_context *context, th_dtype t, operand a, operand b, char *c) {
  int64_t batch = a.batch.ndim > 0 ? a.batch.shape[a.batch.ndim - 1] : 1;
  int64_t item = th__dtype_size(t);
  if (a.batch.ndim <= 1)
    return th__dtype_in(t, TH_INTS) ? product_of_integers(context, t, &a, &b, batch, c)
                                    : product_of_floats(context, t, &a, &b, batch, c);
  int64_t n = a.batch.shape[0], each = a.rows * b.columns * item;
  for (int d = 1; d < a.batch.ndim; d++) each *= a.batch.shape[d];
  operand x = a, y = b;
  x.batch = th__layout_part(&a.batch, 0, 1, false);
  y.batch = th__layout_part(&b.batch, 0, 1, false);
  for (int64_t i = 0; i < n; i++) {
    x.data = a.data + i * a.batch.strides[0] * item;
    y.data = b.data + i * b.batch.strides[0] * item;
    TH_TRY(products(context, t, x, y, c + i * each));
  }
  return TH_OK;
}

/* Joins the batch of a with its rows when b has none: one tall product instead of many. */
static void join_rows(operand *a, operand *b) {
  for (int d = 0; d < b->batch.ndim; d++)
    if (b->batch.strides[d] != 0) return;
  th_layout rows = a->batch;
  int64_t m = a->rows * th__layout_size(&a->batch);
  rows.shape[rows.ndim] = a->rows;
  rows.strides[rows.ndim++] = a->row;
  rows.ndim = th__layouts_collapse(&rows, 1);
  int64_t row = rows.ndim == 1 ? rows.strides[0] : a->columns;
  if (rows.ndim > 1 || !rows_readable(m, a->columns, row, a->column)) return;
  a->rows = m;
  a->row = row;
  a->batch.ndim = b->batch.ndim = 0;
}

static th_status add_bias(const th_kernel_args *k) {
  static th__cuda_kernel add[TH_DTYPE_COUNT] = {
#define NAME(NAME, t) [TH_##NAME] = {.name = "binary_add_" #t},
      TH__CUDA_TYPES(NAME)
#undef NAME
  };
  static th__cuda_kernel add_single = {.name = "binary_add_single"};
  th_dtype t = k->out[0].dtype;
  th_layout bias;
  TH_TRY(th__layout_broadcast(&k->in[2], k->out[0].shape, k->out[0].ndim, &bias, "linear"));
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_binary,
                     .kernel = th__cuda_is_single(t) ? &add_single : &add[t],
                     .n_pointers = 3,
                     .n_cells = 1,
                     .dtype = t};
  th__cuda_loop_add(&l, &k->out[0], k->out_data[0]);
  th__cuda_loop_add(&l, &k->out[0], k->out_data[0]);
  th__cuda_loop_add(&l, &bias, k->in_data[2]);
  return th__cuda_loop_run(&l);
}

static th_status matmul_cuda(const th_kernel_args *k) {
  th_dtype t = k->out[0].dtype;
  operand a, b;
  int64_t bytes = th__layout_bytes(&k->out[0]);
  if (bytes == 0) return TH_OK;
  if (th__layout_size(&k->in[0]) == 0) {
    TH_TRY(th__cuda_fill(k->context, k->out_data[0], 0, bytes));
  } else {
    th_layout batch[2], lead;
    TH_TRY(prepare(k, 0, th__dtype_in(t, TH_INTS), &a));
    TH_TRY(prepare(k, 1, th__dtype_in(t, TH_INTS), &b));
    TH_TRY(th__broadcast_shapes(&a.batch, &b.batch, &lead, "matmul"));
    TH_TRY(th__layout_broadcast(&a.batch, lead.shape, lead.ndim, &batch[0], "matmul"));
    TH_TRY(th__layout_broadcast(&b.batch, lead.shape, lead.ndim, &batch[1], "matmul"));
    int ndim = th__layouts_collapse(batch, 2);
    a.batch = batch[0];
    b.batch = batch[1];
    a.batch.ndim = b.batch.ndim = ndim;
    join_rows(&a, &b);
    TH_TRY(products(k->context, t, a, b, k->out_data[0]));
  }
  return k->n_in > 2 ? add_bias(k) : TH_OK;
}

extern const th__cuda_entry th__cuda_products[];
const th__cuda_entry th__cuda_products[] = {
    {"matmul", matmul_cuda}, {"linear", matmul_cuda}, {NULL, NULL}};
