/* What elements become in a reduction that maps them; C and CUDA C++. */
#ifndef THRUM_OPS_REDUCE_MAP_KIND_H
#define THRUM_OPS_REDUCE_MAP_KIND_H

typedef enum th__map_kind {
  TH__MAP_DEVIATION, /* (x - shift)^2 */
  TH__MAP_EXP,       /* e^(x - shift) */
  TH__MAP_ABS,
  TH__MAP_SQUARE,
  TH__MAP_POWER, /* |x|^number */
  TH__MAP_NONZERO
} th__map_kind;

/* What a folded value ends as. */
typedef enum th__end_kind {
  TH__END_SAME,
  TH__END_ROOT,
  TH__END_POWER,    /* folded^(1 / number) */
  TH__END_VAR,      /* folded / number */
  TH__END_STD,      /* its root */
  TH__END_LOGARITHM /* log(folded) + shift; the shift itself where it is infinite or NaN */
} th__end_kind;

#endif
