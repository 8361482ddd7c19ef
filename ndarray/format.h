/* Owns how elements look in text: NumPy's default style, one width for all elements that are shown together. */
#ifndef THRUM_NDARRAY_FORMAT_H
#define THRUM_NDARRAY_FORMAT_H

#include "thrum/base.h"

#define TH__ELEMENT_TEXT 64 /* enough for any element with its padding */

typedef struct th__format {
  th_dtype dtype;
  bool scientific;
  int precision; /* digits after the point: scientific exactly so many, else at most */
  int left;      /* characters before the point */
  int right;     /* characters after it */
  int exponent;  /* digits of the exponent */
} th__format;

/* Looks at n adjacent elements that will be shown together; scalar: as one 0-d array. */
void th__format_init(th__format *f, th_dtype t, const void *elements, int64_t n, bool scalar);
/* Writes one of them, terminated and padded; returns its length. */
int th__format_element(const th__format *f, const void *element, char out[TH__ELEMENT_TEXT]);

#endif
