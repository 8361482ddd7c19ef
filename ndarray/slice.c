/* Owns slicing: the text form of NumPy's basic indexing and its arithmetic. Pure functions. */
#include <string.h>

#include "engine/base/error.h"
#include "ndarray/shape.h"

#define MAX_ITEMS (2 * TH_MAX_DIMS + 1) /* indices, None and '...' that can make sense together */

typedef enum item_kind { ITEM_INDEX, ITEM_RANGE, ITEM_ELLIPSIS, ITEM_NONE } item_kind;

typedef struct item {
  item_kind kind;
  bool has_start, has_stop;
  int64_t start, stop, step; /* an index is in start */
} item;

typedef struct parser {
  const char *text, *at;
  item items[MAX_ITEMS];
  int n, consuming; /* items, and those that use up a dimension */
  bool ellipsis;
} parser;

static th_status syntax_error(const parser *p, const char *reason) {
  return th__fail(TH_EINVAL, "slice: '%.100s' at position %d: %s", p->text, (int)(p->at - p->text),
                  reason);
}

static void skip_blanks(parser *p) {
  while (*p->at == ' ' || *p->at == '\t') p->at++;
}

static bool take(parser *p, const char *word) {
  skip_blanks(p);
  size_t n = strlen(word);
  if (strncmp(p->at, word, n) != 0) return false;
  p->at += n;
  return true;
}

/* A signed number if there is one; numbers beyond int64 become its ends, which no size reaches. */
static th_status parse_number(parser *p, bool *found, int64_t *out) {
  skip_blanks(p);
  bool negative = *p->at == '-', sign = negative || *p->at == '+';
  if (sign) p->at++;
  skip_blanks(p);
  *found = *p->at >= '0' && *p->at <= '9';
  if (!*found) return sign ? syntax_error(p, "expected a number after the sign") : TH_OK;
  int64_t value = 0;
  for (; *p->at >= '0' && *p->at <= '9'; p->at++)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, *p->at - '0', &value))
      value = INT64_MAX;
  *out = negative ? -value : value;
  return TH_OK;
}

/* [start] [":" [stop] [":" [step]]], not empty. */
static th_status parse_range(parser *p, item *out) {
  bool has_step = false;
  TH_TRY(parse_number(p, &out->has_start, &out->start));
  out->kind = ITEM_INDEX;
  if (!take(p, ":")) {
    return out->has_start ? TH_OK : syntax_error(p, "expected a number, ':', '...' or 'None'");
  }
  out->kind = ITEM_RANGE;
  TH_TRY(parse_number(p, &out->has_stop, &out->stop));
  if (take(p, ":")) TH_TRY(parse_number(p, &has_step, &out->step));
  if (!has_step) out->step = 1;
  if (out->step == 0) return syntax_error(p, "the step is 0");
  return TH_OK;
}

static th_status parse_item(parser *p) {
  if (p->n == MAX_ITEMS) return syntax_error(p, "too many items");
  item *out = &p->items[p->n++];
  *out = (item){.kind = ITEM_NONE};
  if (take(p, "None")) return TH_OK;
  if (take(p, "...")) {
    if (p->ellipsis) return syntax_error(p, "more than one '...'");
    p->ellipsis = true;
    out->kind = ITEM_ELLIPSIS;
    return TH_OK;
  }
  p->consuming++;
  return parse_range(p, out);
}

static th_status parse(parser *p) {
  do {
    skip_blanks(p);
    if (p->n > 0 && *p->at == 0) return TH_OK; /* Python allows a comma at the end */
    TH_TRY(parse_item(p));
  } while (take(p, ","));
  skip_blanks(p);
  return *p->at ? syntax_error(p, "expected ',' or the end") : TH_OK;
}

/* The place of a bound within [lowest, highest], counted from the end if negative. */
static int64_t clamp_bound(int64_t bound, int64_t n, int64_t lowest, int64_t highest) {
  if (bound < 0) bound += n;
  return bound < lowest ? lowest : bound > highest ? highest : bound;
}

static void apply_range(const item *range, int64_t n, int64_t stride, th_layout *view) {
  bool back = range->step < 0;
  int64_t lowest = back ? -1 : 0, highest = back ? n - 1 : n;
  int64_t start = back ? highest : lowest, stop = back ? lowest : highest;
  if (range->has_start) start = clamp_bound(range->start, n, lowest, highest);
  if (range->has_stop) stop = clamp_bound(range->stop, n, lowest, highest);
  int64_t span = back ? start - stop : stop - start, step = back ? -range->step : range->step;
  int64_t length = span > 0 ? (span - 1) / step + 1 : 0;
  view->shape[view->ndim] = length;
  view->strides[view->ndim++] = length > 1 ? stride * range->step : stride;
  if (length > 0) view->offset += start * stride;
}

static th_status apply_index(int64_t index, int dimension, int64_t n, int64_t stride,
                             th_layout *view) {
  if (index < -n || index >= n)
    return th__fail(TH_ESHAPE, "slice: index %lld is out of range for dimension %d of size %lld",
                    (long long)index, dimension, (long long)n);
  view->offset += (index < 0 ? index + n : index) * stride;
  return TH_OK;
}

static void keep_dimension(const th_layout *a, int dimension, th_layout *view) {
  view->shape[view->ndim] = a->shape[dimension];
  view->strides[view->ndim++] = a->strides[dimension];
}

static th_status apply(const parser *p, const th_layout *a, th_layout *view) {
  int dimension = 0, skipped = a->ndim - p->consuming; /* dimensions that '...' stands for */
  for (int i = 0; i < p->n; i++) {
    const item *it = &p->items[i];
    switch (it->kind) {
    case ITEM_NONE:
      view->shape[view->ndim] = 1;
      view->strides[view->ndim++] = 0;
      break;
    case ITEM_ELLIPSIS:
      for (int k = 0; k < skipped; k++) keep_dimension(a, dimension++, view);
      break;
    case ITEM_INDEX:
      TH_TRY(apply_index(it->start, dimension, a->shape[dimension], a->strides[dimension], view));
      dimension++;
      break;
    case ITEM_RANGE:
      apply_range(it, a->shape[dimension], a->strides[dimension], view);
      dimension++;
      break;
    }
  }
  while (dimension < a->ndim) keep_dimension(a, dimension++, view);
  return TH_OK;
}

th_status th__view_slice(const th_layout *a, const char *spec, th_layout *out) {
  if (!spec) return th__fail(TH_EINVAL, "slice: spec is NULL");
  parser p = {.text = spec, .at = spec};
  TH_TRY(parse(&p));
  char shape[TH__SHAPE_TEXT];
  if (p.consuming > a->ndim)
    return th__fail(TH_ESHAPE, "slice: '%.100s' has %d indices, shape %s has %d dimensions", spec,
                    p.consuming, th__shape_text(a->shape, a->ndim, shape, sizeof shape), a->ndim);
  int ndim = a->ndim;
  for (int i = 0; i < p.n; i++)
    ndim += p.items[i].kind == ITEM_NONE ? 1 : p.items[i].kind == ITEM_INDEX ? -1 : 0;
  if (ndim > TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "slice: '%.100s' gives %d dimensions, at most %d are possible", spec,
                    ndim, TH_MAX_DIMS);
  th_layout view = {.dtype = a->dtype, .offset = a->offset};
  TH_TRY(apply(&p, a, &view));
  *out = view;
  return TH_OK;
}
