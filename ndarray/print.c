/* Owns the text form of arrays: NumPy's array2string with its default options, followed by the element type. */
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/format.h"

#define SUMMARIZE_ABOVE 1000 /* elements */
#define EDGE            3    /* items shown at each end of a shortened axis */
#define LINE            75   /* characters */

/* The elements to show, taken out of the array. */
typedef struct excerpt {
  th_layout layout; /* compact; shape shortened */
  bool shortened[TH_MAX_DIMS];
  char *elements;
} excerpt;

typedef struct printer {
  FILE *out;
  const excerpt *show;
  th__format format;
  const char *next; /* element */
  int column;       /* characters on this line, a space to come included */
  int blanks;       /* due before the next word */
} printer;

/* Both ends of shortened axes are copied separately: every combination of ends is one block. */
static void take_excerpt(const th_layout *layout, const void *first, void *arg) {
  excerpt *e = arg;
  int64_t size = (int64_t)th_dtype_size(layout->dtype);
  for (uint32_t ends = 0; ends < 1u << layout->ndim; ends++) {
    th_layout from = *layout, to = e->layout;
    int64_t from_skip = 0, to_skip = 0;
    bool valid = true;
    for (int d = 0; d < layout->ndim; d++) {
      bool tail = ends >> d & 1;
      valid &= e->shortened[d] || !tail;
      if (!e->shortened[d]) continue;
      from.shape[d] = to.shape[d] = EDGE;
      if (!tail) continue;
      from_skip += (layout->shape[d] - EDGE) * layout->strides[d];
      to_skip += EDGE * e->layout.strides[d];
    }
    if (valid)
      th__copy_elements(&from, (const char *)first + from_skip * size, &to,
                        e->elements + to_skip * size);
  }
}

static th_status excerpt_make(const th_array *a, excerpt *e) {
  const th_layout *full = &a->layout;
  bool summarize = th__layout_size(full) > SUMMARIZE_ABOVE;
  e->layout = *full;
  for (int d = 0; d < full->ndim; d++) {
    e->shortened[d] = summarize && full->shape[d] > 2 * EDGE;
    if (e->shortened[d]) e->layout.shape[d] = 2 * EDGE;
  }
  th__layout_set_contiguous(&e->layout);
  int64_t bytes = th__layout_bytes(&e->layout);
  e->elements = th__alloc(bytes > 0 ? (size_t)bytes : 1);
  if (!e->elements) return TH_ENOMEM;
  th_status status = th__with_elements(a, take_excerpt, e, "th_print");
  if (status != TH_OK) th__free(e->elements);
  return status;
}

static void put_blanks(printer *p, int n) { fprintf(p->out, "%*s", n, ""); }

/* One word of a row. A line starts with `indent` characters and may have `width`. Blanks are held back: those at the end of a
 * line are not written. */
static void put_word(printer *p, const char *word, int length, int indent, int width) {
  if (p->column + length > width && p->column > indent) {
    fputc('\n', p->out);
    p->blanks = p->column = indent;
  }
  p->column += length + 1;
  int blanks = p->blanks;
  while (length > 0 && word[length - 1] == ' ') length--;
  fprintf(p->out, "%*s%.*s", blanks, "", length, word);
  p->blanks = (int)strlen(word) - length + 1;
}

static void put_row(printer *p, int axis) {
  char text[TH__ELEMENT_TEXT];
  int indent = axis + 1, width = LINE - axis - 1;
  size_t size = th_dtype_size(p->show->layout.dtype);
  p->column = indent;
  p->blanks = 0;
  for (int64_t i = 0; i < p->show->layout.shape[axis]; i++) {
    if (i == EDGE && p->show->shortened[axis]) put_word(p, "...", 3, indent, width);
    int length = th__format_element(&p->format, p->next, text);
    put_word(p, text, length, indent, width);
    p->next += size;
  }
  put_blanks(p, p->blanks - 1); /* no space after the last word */
}

static void put_axis(printer *p, int axis) {
  int last = p->show->layout.ndim - 1;
  fputc('[', p->out);
  if (axis == last) {
    put_row(p, axis);
  } else {
    for (int64_t i = 0; i < p->show->layout.shape[axis]; i++) {
      if (i == EDGE && p->show->shortened[axis]) {
        put_blanks(p, axis + 1);
        fputs("...", p->out);
        for (int n = axis; n < last; n++) fputc('\n', p->out);
      }
      if (i > 0) put_blanks(p, axis + 1);
      put_axis(p, axis + 1);
      if (i < p->show->layout.shape[axis] - 1)
        for (int n = axis; n < last; n++) fputc('\n', p->out);
    }
  }
  fputc(']', p->out);
}

th_status th_print(const th_array *a, FILE *out) {
  char text[TH__ELEMENT_TEXT];
  if (!a) return th__array_null("th_print");
  if (!out) return th__fail(TH_EINVAL, "th_print: out is NULL");
  excerpt e;
  TH_TRY(excerpt_make(a, &e));
  int64_t n = th__layout_size(&e.layout);
  printer p = {.out = out, .show = &e, .next = e.elements};
  th__format_init(&p.format, e.layout.dtype, e.elements, n, e.layout.ndim == 0);
  if (n == 0) {
    fputs("[]", out);
  } else if (e.layout.ndim == 0) {
    th__format_element(&p.format, e.elements, text);
    fputs(text, out);
  } else {
    put_axis(&p, 0);
  }
  fprintf(out, " %s\n", th_dtype_name(e.layout.dtype));
  th__free(e.elements);
  return ferror(out) ? th__fail(TH_EIO, "th_print: cannot write") : TH_OK;
}
