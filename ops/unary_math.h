/* Constants and formulas of the rows of unary.def, in the type T that a row computes with. */
#ifndef THRUM_OPS_UNARY_MATH_H
#define THRUM_OPS_UNARY_MATH_H

#define TWO_BY_SQRT_PI ((T)1.1283791670955126)
#define BY_LN_2        ((T)1.4426950408889634)
#define BY_LN_10       ((T)0.4342944819032518)
/* In two halves, because e^-x overflows long before the result leaves the range. */
#define SIGMOID(x) (((x) > 0 ? 1 : exp(x)) / (1 + exp(-fabs(x))))
/* By erfc: 1 + erf would lose all digits of small results. */
#define NORMAL_CDF(x) ((T)0.5 * erfc((x) * (T)-0.7071067811865476))
#define NORMAL_PDF(x) ((T)0.3989422804014327 * exp((x) * (x) * (T)-0.5))

#endif
