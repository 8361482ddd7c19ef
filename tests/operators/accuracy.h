/* The accuracy that tests/ops/test_accuracy.c holds elementary functions to. */
#ifndef THRUM_TESTS_OPERATORS_ACCURACY_H
#define THRUM_TESTS_OPERATORS_ACCURACY_H

/* "1.01 ulp (f32), 0.9 ulp (f64)", or "". */
const char *accuracy_of(const char *name);

#endif
