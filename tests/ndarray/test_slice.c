/* Slicing against Python's own rules, element by element. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/error.h"
#include "ndarray/shape.h"

TestSuite(slice, .timeout = 60);

static uint64_t state = 5;
static int64_t next_random(int64_t below) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (int64_t)(state >> 33) % below;
}

static th_layout make(const int64_t *shape, int ndim) {
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, shape, ndim, TH_F32, "test"), TH_OK));
  return l;
}
#define SHAPE(...) (int64_t[]){__VA_ARGS__}, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8)

/* What Python's range(*slice(start, stop, step).indices(n)) lists, straight from its definition. */
typedef struct bound {
  bool given;
  int64_t value;
} bound;

static int python_range(bound start, bound stop, int64_t step, int64_t n, int64_t *out) {
  int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
  int64_t from = step < 0 ? high : low, to = step < 0 ? low : high;
  if (start.given) {
    from = start.value < 0 ? start.value + n : start.value;
    from = from < low ? low : from > high ? high : from;
  }
  if (stop.given) {
    to = stop.value < 0 ? stop.value + n : stop.value;
    to = to < low ? low : to > high ? high : to;
  }
  int count = 0;
  for (int64_t i = from; step < 0 ? i > to : i < to; i += step) out[count++] = i;
  return count;
}

static void put(char *text, const char *part) { strcat(text, part); }
static void put_number(char *text, int64_t value) {
  sprintf(text + strlen(text), "%lld", (long long)value);
}
static void put_blank(char *text) {
  if (next_random(4) == 0) put(text, " ");
}

/* One random item on a dimension of size n: appends its text, lists the indices it picks; true if it is a single index. */
static bool random_item(char *text, int64_t n, int64_t *picked, int *count) {
  put_blank(text);
  if (n > 0 && next_random(3) == 0) {
    int64_t i = next_random(2 * n) - n;
    put_number(text, i);
    put_blank(text);
    picked[0] = i < 0 ? i + n : i;
    *count = 1;
    return true;
  }
  bound start = {next_random(2), next_random(3 * n + 4) - 3 * n / 2 - 2};
  bound stop = {next_random(2), next_random(3 * n + 4) - 3 * n / 2 - 2};
  int64_t step = 1;
  if (start.given) put_number(text, start.value);
  put_blank(text);
  put(text, ":");
  put_blank(text);
  if (stop.given) put_number(text, stop.value);
  if (next_random(2)) {
    put(text, ":");
    if (next_random(3)) {
      do step = next_random(9) - 4;
      while (step == 0);
      put_number(text, step);
    }
  }
  put_blank(text);
  *count = python_range(start, stop, step, n, picked);
  return false;
}

typedef struct choice { /* of one dimension of the array */
  bool single;
  int count;
  int64_t picked[16];
} choice;

/* Places of the elements that the choices leave, rows first; returns how many. */
static int chosen_places(const th_layout *a, const choice *c, int64_t *out) {
  int n = 1;
  for (int d = 0; d < a->ndim; d++) n *= c[d].count;
  for (int i = 0; i < n; i++) {
    int rest = i;
    out[i] = a->offset;
    for (int d = a->ndim - 1; d >= 0; d--) {
      out[i] += c[d].picked[rest % c[d].count] * a->strides[d];
      rest /= c[d].count;
    }
  }
  return n;
}

static int view_places(const th_layout *l, int64_t *out) {
  int64_t n = th__layout_size(l);
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i;
    out[i] = l->offset;
    for (int d = l->ndim - 1; d >= 0; d--) {
      out[i] += rest % l->shape[d] * l->strides[d];
      rest /= l->shape[d];
    }
  }
  return (int)n;
}

/* A random spec for a: its text, what it picks, the sizes it leaves. */
typedef struct spec {
  char text[512];
  choice choices[4];
  int64_t sizes[12];
  int n_sizes;
} spec;

static void take_all(spec *s, int dimension, int64_t n) {
  s->choices[dimension] = (choice){.count = (int)n};
  for (int i = 0; i < n; i++) s->choices[dimension].picked[i] = i;
  s->sizes[s->n_sizes++] = n;
}

static void random_spec(spec *s, const th_layout *a) {
  int covered = 1 + (int)next_random(a->ndim); /* dimensions that get an item */
  int dots_at = next_random(2) ? (int)next_random(covered + 1) : -1, dimension = 0;
  *s = (spec){.n_sizes = 0};
  for (int item = 0; item <= covered; item++) {
    if (item == dots_at) {
      put(s->text, s->text[0] ? ",..." : "...");
      for (int n = a->ndim - covered; n > 0; n--, dimension++)
        take_all(s, dimension, a->shape[dimension]);
    }
    if (item == covered) break;
    if (next_random(6) == 0) {
      put(s->text, s->text[0] ? ", None" : "None");
      s->sizes[s->n_sizes++] = 1;
    }
    if (s->text[0]) put(s->text, ",");
    choice *c = &s->choices[dimension];
    c->single = random_item(s->text, a->shape[dimension], c->picked, &c->count);
    if (!c->single) s->sizes[s->n_sizes++] = c->count;
    dimension++;
  }
  for (; dimension < a->ndim; dimension++) take_all(s, dimension, a->shape[dimension]);
  if (next_random(5) == 0) put(s->text, ",");
}

Test(slice, random_specs_pick_what_python_picks) {
  static int64_t want[8192], got[8192];
  for (int round = 0; round < 30000; round++) {
    spec s;
    int64_t shape[4];
    int ndim = 1 + (int)next_random(4);
    for (int d = 0; d < ndim; d++) shape[d] = next_random(8);
    th_layout a = make(shape, ndim), view;
    if (next_random(2)) cr_assert(eq(int, th__view_flip(&a, NULL, 0, &a), TH_OK));
    random_spec(&s, &a);
    cr_assert(th__view_slice(&a, s.text, &view) == TH_OK, "'%s': %s", s.text, th_last_error());
    cr_assert(view.ndim == s.n_sizes, "'%s': %d dimensions, not %d", s.text, view.ndim, s.n_sizes);
    for (int d = 0; d < s.n_sizes; d++)
      cr_assert(view.shape[d] == s.sizes[d], "'%s': size %lld of dimension %d, not %lld", s.text,
                (long long)view.shape[d], d, (long long)s.sizes[d]);
    int n = chosen_places(&a, s.choices, want);
    cr_assert(eq(int, view_places(&view, got), n));
    cr_assert(memcmp(want, got, (size_t)n * sizeof *got) == 0, "'%s' picks other elements", s.text);
  }
}

Test(slice, bad_text) {
  static const struct {
    const char *spec, *message;
  } cases[] = {
      {"", "slice: '' at position 0: expected a number"},
      {" ", "slice: ' ' at position 1: expected a number"},
      {"x", "slice: 'x' at position 0: expected a number"},
      {"1:x", "slice: '1:x' at position 2: expected ',' or the end"},
      {"1:2:3:4", "at position 5: expected ',' or the end"},
      {"1,,2", "at position 2: expected a number"},
      {",", "at position 0: expected a number"},
      {"-", "at position 1: expected a number after the sign"},
      {"1:+", "at position 3: expected a number after the sign"},
      {"::0", "at position 3: the step is 0"},
      {"..., ...", "at position 8: more than one '...'"},
      {"..", "at position 0: expected a number"},
      {"1.5", "at position 1: expected ',' or the end"},
      {"none", "at position 0: expected a number"},
      {"Nonee", "at position 4: expected ',' or the end"},
      {"1 2", "at position 2: expected ',' or the end"},
      {"[1]", "at position 0: expected a number"},
      {"\n", "at position 0: expected a number"},
  };
  th_layout a = make(SHAPE(3, 4)), view;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_assert(th__view_slice(&a, cases[i].spec, &view) == TH_EINVAL, "'%s'", cases[i].spec);
    cr_assert(strstr(th_last_error(), cases[i].message) != NULL, "'%s': %s", cases[i].spec,
              th_last_error());
  }
  cr_assert(eq(int, th__view_slice(&a, NULL, &view), TH_EINVAL));
}

Test(slice, bad_index) {
  static const struct {
    const char *spec, *message;
  } cases[] = {
      {"3", "slice: index 3 is out of range for dimension 0 of size 3"},
      {"-4", "slice: index -4 is out of range for dimension 0 of size 3"},
      {":, 4", "slice: index 4 is out of range for dimension 1 of size 4"},
      {"99999999999999999999", "slice: index 9223372036854775807 is out of range"},
      {"-99999999999999999999", "slice: index -9223372036854775807 is out of range"},
      {"0, 0, 0", "slice: '0, 0, 0' has 3 indices, shape (3, 4) has 2 dimensions"},
      {"None, None, None, None, None, None, None", "gives 9 dimensions, at most 8"},
  };
  th_layout a = make(SHAPE(3, 4)), view;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_assert(th__view_slice(&a, cases[i].spec, &view) == TH_ESHAPE, "'%s'", cases[i].spec);
    cr_assert(strstr(th_last_error(), cases[i].message) != NULL, "'%s': %s", cases[i].spec,
              th_last_error());
  }
}

Test(slice, huge_numbers_are_clamped) {
  th_layout a = make(SHAPE(10)), view;
  cr_assert(
      eq(int, th__view_slice(&a, "-99999999999999999999:99999999999999999999", &view), TH_OK));
  cr_assert(eq(i64, view.shape[0], 10));
  cr_assert(eq(int, th__view_slice(&a, "::99999999999999999999", &view), TH_OK));
  cr_assert(eq(i64, view.shape[0], 1));
  cr_assert(eq(i64, view.offset, 0));
  cr_assert(eq(int, th__view_slice(&a, "::-99999999999999999999", &view), TH_OK));
  cr_assert(eq(i64, view.shape[0], 1));
  cr_assert(eq(i64, view.offset, 9));
}

Test(slice, a_long_text_is_refused_not_overrun) {
  char text[4096];
  th_layout a = make(SHAPE(3)), view;
  memset(text, ',', sizeof text);
  for (size_t i = 0; i + 4 < sizeof text; i += 5) memcpy(text + i, "None", 4);
  text[sizeof text - 1] = 0;
  cr_assert(eq(int, th__view_slice(&a, text, &view), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "too many items") != NULL);
  memset(text, '1', sizeof text - 1);
  cr_assert(eq(int, th__view_slice(&a, text, &view), TH_ESHAPE));
}

Test(slice, zero_dimensions) {
  th_layout a = make(NULL, 0), view;
  cr_assert(eq(int, th__view_slice(&a, "...", &view), TH_OK));
  cr_assert(eq(int, view.ndim, 0));
  cr_assert(eq(int, th__view_slice(&a, "None", &view), TH_OK));
  cr_assert(eq(int, view.ndim, 1));
  cr_assert(eq(int, th__view_slice(&a, "0", &view), TH_ESHAPE));
}
