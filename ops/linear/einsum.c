/* Owns einsum of one and two arrays: diagonals and sums of what one array has alone, then one batched matrix product. */
#include <ctype.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/op.h"

/* An array with a letter for each dimension. */
typedef struct term {
  char labels[TH_MAX_DIMS + 1];
  th_array *a;
} term;

typedef struct formula {
  term in[2];
  int n;
  char out[TH_MAX_DIMS + 1];
} formula;

/* --- reading the formula --- */

static th_status wrong(const char *text, const char *why) {
  return th__fail(TH_EINVAL, "einsum: \"%.60s\": %s", text, why);
}

/* The letters at *at, without spaces. */
static th_status read_labels(const char *text, const char **at, char *labels) {
  int n = 0;
  for (; isalpha((unsigned char)**at) || **at == ' '; ++*at) {
    if (**at == ' ') continue;
    if (n == TH_MAX_DIMS) return wrong(text, "more letters than dimensions are possible");
    labels[n++] = **at;
  }
  labels[n] = 0;
  return TH_OK;
}

static int occurrences(const formula *f, char label) {
  int count = 0;
  for (int i = 0; i < f->n; i++)
    for (const char *c = f->in[i].labels; *c; c++) count += *c == label;
  return count;
}

/* Without "->": the letters that occur once, in the alphabet's order. */
static th_status implied_labels(formula *f, const char *text) {
  int n = 0;
  for (char c = 'A'; c <= 'z'; c++) {
    if (!isalpha((unsigned char)c) || occurrences(f, c) != 1) continue;
    if (n == TH_MAX_DIMS) return wrong(text, "the result would have too many dimensions");
    f->out[n++] = c;
  }
  f->out[n] = 0;
  return TH_OK;
}

static th_status read_formula(formula *f, const char *text, int n) {
  const char *at = text;
  for (f->n = 0; f->n < n; f->n++) {
    TH_TRY(read_labels(text, &at, f->in[f->n].labels));
    if (f->n + 1 < n && *at++ != ',') return wrong(text, "a comma and a second array are missing");
  }
  if (*at == 0) return implied_labels(f, text);
  if (at[0] != '-' || at[1] != '>') return wrong(text, "not understood");
  at += 2;
  TH_TRY(read_labels(text, &at, f->out));
  if (*at) return wrong(text, "not understood");
  for (const char *c = f->out; *c; c++)
    if (strchr(c + 1, *c) || occurrences(f, *c) == 0)
      return wrong(text, "each letter of the result occurs there once and on the left");
  return TH_OK;
}

/* --- one array --- */

static void remove_label(term *t, int at) {
  memmove(t->labels + at, t->labels + at + 1, strlen(t->labels + at));
}

/* A letter given twice: its diagonal, which comes last. */
static th_status take_diagonals(term *t) {
  for (int i = 0; t->a && t->labels[i]; i++) {
    char label = t->labels[i];
    const char *second = strchr(t->labels + i + 1, label);
    if (!second) continue;
    int axes[2] = {i, (int)(second - t->labels)};
    const int64_t *shape = t->a->layout.shape;
    if (shape[axes[0]] != shape[axes[1]])
      return th__fail(TH_ESHAPE, "einsum: sizes %lld and %lld of '%c' differ",
                      (long long)shape[axes[0]], (long long)shape[axes[1]], label);
    th_array *turned = th_moveaxis(t->a, axes, (const int[]){-2, -1}, 2);
    t->a = turned ? th_diagonal(turned, 0) : NULL;
    remove_label(t, axes[1]);
    remove_label(t, axes[0]);
    t->labels[strlen(t->labels) + 1] = 0;
    t->labels[strlen(t->labels)] = label;
    i = -1;
  }
  return t->a ? TH_OK : th_last_status();
}

/* Sums over the letters that neither `other` (NULL: none) nor the result has. The type stays. */
static th_status sum_alone(term *t, const char *other, const char *out) {
  int axes[TH_MAX_DIMS], n = 0;
  for (int i = (int)strlen(t->labels) - 1; i >= 0; i--) {
    if (strchr(out, t->labels[i]) || (other && strchr(other, t->labels[i]))) continue;
    axes[n++] = i;
    remove_label(t, i);
  }
  if (n == 0) return TH_OK;
  th_dtype type = t->a->layout.dtype;
  t->a = th_sum(t->a, axes, n, false);
  if (t->a && t->a->layout.dtype != type) t->a = th_astype(t->a, type);
  return t->a ? TH_OK : th_last_status();
}

/* Letters of size 1 whose other array has more are dropped here: they broadcast. */
static th_status match_sizes(term *t, const term *other) {
  for (int i = (int)strlen(t->labels) - 1; i >= 0; i--) {
    const char *there = strchr(other->labels, t->labels[i]);
    if (!there) continue;
    int64_t mine = t->a->layout.shape[i], its = other->a->layout.shape[there - other->labels];
    if (mine == its || its == 1) continue;
    if (mine != 1)
      return th__fail(TH_ESHAPE, "einsum: sizes %lld and %lld of '%c' differ", (long long)mine,
                      (long long)its, t->labels[i]);
    t->a = th_squeeze(t->a, &i, 1);
    if (!t->a) return th_last_status();
    remove_label(t, i);
  }
  return TH_OK;
}

/* --- two arrays --- */

/* Which letters of `all` are (not) in both strings, in order. */
static int select_labels(const char *all, const char *one, bool in_one, const char *two,
                         bool in_two, char *to) {
  int n = 0;
  for (const char *c = all; *c; c++)
    if ((strchr(one, *c) != NULL) == in_one && (strchr(two, *c) != NULL) == in_two) to[n++] = *c;
  to[n] = 0;
  return n;
}

/* The array with its letters in this order. */
static th_array *turned_to(const term *t, const char *labels) {
  int order[TH_MAX_DIMS], n = (int)strlen(labels);
  for (int i = 0; i < n; i++) order[i] = (int)(strchr(t->labels, labels[i]) - t->labels);
  return th_permute_dims(t->a, order, n);
}

/* The array as a batch of matrices whose dimensions are those of three groups of letters. */
static th_array *as_matrices(const term *t, const char *batch, const char *rows,
                             const char *columns) {
  const char *groups[] = {batch, rows, columns};
  char all[3 * TH_MAX_DIMS + 1] = "";
  int64_t sizes[3] = {1, 1, 1};
  for (int g = 0; g < 3; g++) {
    strcat(all, groups[g]);
    for (const char *c = groups[g]; *c; c++)
      sizes[g] *= t->a->layout.shape[strchr(t->labels, *c) - t->labels];
  }
  th_array *turned = turned_to(t, all);
  return turned ? th_reshape(turned, sizes, 3) : NULL;
}

static th_array *product(const formula *f) {
  const term *x = &f->in[0], *y = &f->in[1];
  char batch[TH_MAX_DIMS + 1], summed[TH_MAX_DIMS + 1], rows[TH_MAX_DIMS + 1];
  char columns[TH_MAX_DIMS + 1];
  select_labels(x->labels, y->labels, true, f->out, true, batch);
  select_labels(x->labels, y->labels, true, f->out, false, summed);
  select_labels(x->labels, y->labels, false, f->out, true, rows);
  select_labels(y->labels, x->labels, false, f->out, true, columns);
  th_array *left = as_matrices(x, batch, rows, summed);
  th_array *right = as_matrices(y, batch, summed, columns);
  th_array *flat = left && right ? th_matmul(left, right) : NULL;
  if (!flat) return NULL;
  term result = {.labels = ""};
  char order[3 * TH_MAX_DIMS + 1];
  int64_t shape[TH_MAX_DIMS];
  int n = snprintf(order, sizeof order, "%s%s%s", batch, rows, columns);
  for (int i = 0; i < n; i++) {
    const char *in_x = strchr(x->labels, order[i]), *in_y = strchr(y->labels, order[i]);
    shape[i] = in_x ? x->a->layout.shape[in_x - x->labels] : y->a->layout.shape[in_y - y->labels];
    result.labels[i] = order[i];
  }
  result.labels[n] = 0;
  result.a = th_reshape(flat, shape, n);
  return result.a ? turned_to(&result, f->out) : NULL;
}

static th_array *evaluate(formula *f, th_array *const *arrays) {
  for (int i = 0; i < f->n; i++) {
    f->in[i].a = arrays[i];
    if ((int)strlen(f->in[i].labels) != arrays[i]->layout.ndim)
      return th__fail_null(TH_ESHAPE, "einsum: argument %d has %d dimensions, \"%s\" names %d", i,
                           arrays[i]->layout.ndim, f->in[i].labels, (int)strlen(f->in[i].labels));
    if (take_diagonals(&f->in[i]) != TH_OK) return NULL;
  }
  if (f->n == 1)
    return sum_alone(&f->in[0], NULL, f->out) == TH_OK ? turned_to(&f->in[0], f->out) : NULL;
  if (match_sizes(&f->in[0], &f->in[1]) != TH_OK || match_sizes(&f->in[1], &f->in[0]) != TH_OK ||
      sum_alone(&f->in[0], f->in[1].labels, f->out) != TH_OK ||
      sum_alone(&f->in[1], f->in[0].labels, f->out) != TH_OK)
    return NULL;
  return product(f);
}

th_array *th_einsum(const char *text, const th_array *a, const th_array *b) {
  formula f;
  if (!a) return (void)th__null_input("einsum", 1), NULL;
  if (!text) return th__fail_null(TH_EINVAL, "einsum: no formula");
  if (read_formula(&f, text, b || strchr(text, ',') ? 2 : 1) != TH_OK) return NULL;
  if (f.n == 2 && !b) return (void)th__null_input("einsum", 2), NULL;
  th__composing c = th__compose();
  return th__composed(c, evaluate(&f, (th_array *const[]){(th_array *)a, (th_array *)b}));
}
