/* The text form of arrays. The expected texts are what NumPy 2.4 prints, followed by the element type. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "ndarray/format.h"
#include "thrum/thrum.h"

/* What is pending would look like a leak. */
static void stop(void) { (void)th_shutdown(); }

TestSuite(print, .fini = stop, .timeout = 60);

typedef struct example {
  th_dtype t;
  int ndim;
  int64_t shape[3];
  double values[8];
  bool linear; /* instead of values: start + i * step */
  double start, step;
  const char *text;
} example;

static const example examples[] = {
    {TH_F32, 1, {3}, .values = {0, 0.5, 1}, .text = "[0.  0.5 1. ] f32\n"},
    {TH_F32,
     2,
     {2, 3},
     .values = {1, 2, 3, 4, 5, 6},
     .text = "[[1. 2. 3.]\n"
             " [4. 5. 6.]] f32\n"},
    {TH_F32,
     2,
     {2, 2},
     .values = {1, -2.25, 300, -0.125},
     .text = "[[ 1.00e+00 -2.25e+00]\n"
             " [ 3.00e+02 -1.25e-01]] f32\n"},
    {TH_F32,
     1,
     {5},
     .values = {1, NAN, -INFINITY, INFINITY, 2.5},
     .text = "[ 1.   nan -inf  inf  2.5] f32\n"},
    {TH_F32, 1, {2}, .values = {NAN, NAN}, .text = "[nan nan] f32\n"},
    {TH_F32, 1, {3}, .values = {-0.0, 0, 0.0001}, .text = "[-0.      0.      0.0001] f32\n"},
    {TH_F64, 1, {3}, .values = {1e-05, 1, 2}, .text = "[1.e-05 1.e+00 2.e+00] f64\n"},
    {TH_F64,
     1,
     {3},
     .values = {0.1, 0.3333333333333333, 123456.789},
     .text = "[1.00000000e-01 3.33333333e-01 1.23456789e+05] f64\n"},
    {TH_F64,
     1,
     {3},
     .values = {1e+100, -1e-05, 2.5},
     .text = "[ 1.0e+100 -1.0e-005  2.5e+000] f64\n"},
    {TH_F64,
     1,
     {2},
     .values = {99999999, 100000000},
     .text = "[9.9999999e+07 1.0000000e+08] f64\n"},
    {TH_F64, 1, {1}, .values = {99999999}, .text = "[99999999.] f64\n"},
    {TH_F64, 1, {1}, .values = {100000000}, .text = "[1.e+08] f64\n"},
    {TH_F32, 1, {1}, .values = {999999}, .text = "[999999.] f32\n"},
    {TH_F32, 1, {1}, .values = {1000000}, .text = "[1.e+06] f32\n"},
    {TH_F64, 1, {2}, .values = {1, 1000}, .text = "[   1. 1000.] f64\n"},
    {TH_F64, 1, {2}, .values = {1, 1000.5}, .text = "[1.0000e+00 1.0005e+03] f64\n"},
    {TH_F64,
     1,
     {3},
     .values = {1000.5, NAN, 0.001},
     .text = "[1.0005e+03        nan 1.0000e-03] f64\n"},
    {TH_F16,
     1,
     {4},
     .values = {0.1, 999, -2.5, 0.006},
     .text = "[ 1.00e-01  9.99e+02 -2.50e+00  6.00e-03] f16\n"},
    {TH_F16, 1, {2}, .values = {1000, 1}, .text = "[1.e+03 1.e+00] f16\n"},
    {TH_F32, 1, {3}, .values = {0.1, 0.2, 0.3}, .text = "[0.1 0.2 0.3] f32\n"},
    {TH_F64, 1, {2}, .values = {0.10000000149, 1}, .text = "[0.1 1. ] f64\n"},
    {TH_F32, 1, {2}, .values = {1.17549435e-38, 1}, .text = "[1.1754944e-38 1.0000000e+00] f32\n"},
    {TH_F64, 1, {1}, .values = {5e-324}, .text = "[5.e-324] f64\n"},
    {TH_F64, 1, {1}, .values = {1.7976931348623157e+308}, .text = "[1.79769313e+308] f64\n"},
    {TH_I32, 1, {3}, .values = {-1, 20, 300}, .text = "[ -1  20 300] i32\n"},
    {TH_U64,
     1,
     {2},
     .values = {0, 9.223372036854776e+18},
     .text = "[                  0 9223372036854775808] u64\n"},
    {TH_I8,
     2,
     {2, 2},
     .values = {-128, 127, 0, 1},
     .text = "[[-128  127]\n"
             " [   0    1]] i8\n"},
    {TH_BOOL,
     2,
     {2, 3},
     .values = {0, 1, 0, 1, 1, 1},
     .text = "[[False  True False]\n"
             " [ True  True  True]] bool\n"},
    {TH_BOOL, 0, {0}, .values = {1}, .text = "True bool\n"},
    {TH_BOOL, 0, {0}, .values = {0}, .text = "False bool\n"},
    {TH_I64, 0, {0}, .values = {-42}, .text = "-42 i64\n"},
    {TH_F32, 0, {0}, .values = {2.5}, .text = "2.5 f32\n"},
    {TH_F32, 0, {0}, .values = {NAN}, .text = "nan f32\n"},
    {TH_F32, 2, {0, 3}, .values = {0}, .text = "[] f32\n"},
    {TH_F32, 3, {1, 1, 1}, .values = {7}, .text = "[[[7.]]] f32\n"},
    {TH_F32,
     3,
     {2, 2, 3},
     .start = 0,
     .step = 1,
     .linear = true,
     .text = "[[[ 0.  1.  2.]\n"
             "  [ 3.  4.  5.]]\n"
             "\n"
             " [[ 6.  7.  8.]\n"
             "  [ 9. 10. 11.]]] f32\n"},
    {TH_F32,
     1,
     {40},
     .start = 0,
     .step = 1,
     .linear = true,
     .text = "[ 0.  1.  2.  3.  4.  5.  6.  7.  8.  9. 10. 11. 12. 13. 14. 15. 16. 17.\n"
             " 18. 19. 20. 21. 22. 23. 24. 25. 26. 27. 28. 29. 30. 31. 32. 33. 34. 35.\n"
             " 36. 37. 38. 39.] f32\n"},
    {TH_F32,
     1,
     {30},
     .start = 0,
     .step = 0.25,
     .linear = true,
     .text = "[0.   0.25 0.5  0.75 1.   1.25 1.5  1.75 2.   2.25 2.5  2.75 3.   3.25\n"
             " 3.5  3.75 4.   4.25 4.5  4.75 5.   5.25 5.5  5.75 6.   6.25 6.5  6.75\n"
             " 7.   7.25] f32\n"},
    {TH_I32,
     1,
     {50},
     .start = 0,
     .step = 1,
     .linear = true,
     .text = "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
             " 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47\n"
             " 48 49] i32\n"},
    {TH_F32,
     1,
     {1024},
     .start = 0,
     .step = 0,
     .linear = true,
     .text = "[0. 0. 0. ... 0. 0. 0.] f32\n"},
    {TH_I32,
     1,
     {1001},
     .start = 0,
     .step = 1,
     .linear = true,
     .text = "[   0    1    2 ...  998  999 1000] i32\n"},
    {TH_F32,
     2,
     {40, 40},
     .start = 0,
     .step = 0.5,
     .linear = true,
     .text = "[[0.000e+00 5.000e-01 1.000e+00 ... 1.850e+01 1.900e+01 1.950e+01]\n"
             " [2.000e+01 2.050e+01 2.100e+01 ... 3.850e+01 3.900e+01 3.950e+01]\n"
             " [4.000e+01 4.050e+01 4.100e+01 ... 5.850e+01 5.900e+01 5.950e+01]\n"
             " ...\n"
             " [7.400e+02 7.405e+02 7.410e+02 ... 7.585e+02 7.590e+02 7.595e+02]\n"
             " [7.600e+02 7.605e+02 7.610e+02 ... 7.785e+02 7.790e+02 7.795e+02]\n"
             " [7.800e+02 7.805e+02 7.810e+02 ... 7.985e+02 7.990e+02 7.995e+02]] f32\n"},
    {TH_I32,
     3,
     {12, 12, 12},
     .start = 0,
     .step = 1,
     .linear = true,
     .text = "[[[   0    1    2 ...    9   10   11]\n"
             "  [  12   13   14 ...   21   22   23]\n"
             "  [  24   25   26 ...   33   34   35]\n"
             "  ...\n"
             "  [ 108  109  110 ...  117  118  119]\n"
             "  [ 120  121  122 ...  129  130  131]\n"
             "  [ 132  133  134 ...  141  142  143]]\n"
             "\n"
             " [[ 144  145  146 ...  153  154  155]\n"
             "  [ 156  157  158 ...  165  166  167]\n"
             "  [ 168  169  170 ...  177  178  179]\n"
             "  ...\n"
             "  [ 252  253  254 ...  261  262  263]\n"
             "  [ 264  265  266 ...  273  274  275]\n"
             "  [ 276  277  278 ...  285  286  287]]\n"
             "\n"
             " [[ 288  289  290 ...  297  298  299]\n"
             "  [ 300  301  302 ...  309  310  311]\n"
             "  [ 312  313  314 ...  321  322  323]\n"
             "  ...\n"
             "  [ 396  397  398 ...  405  406  407]\n"
             "  [ 408  409  410 ...  417  418  419]\n"
             "  [ 420  421  422 ...  429  430  431]]\n"
             "\n"
             " ...\n"
             "\n"
             " [[1296 1297 1298 ... 1305 1306 1307]\n"
             "  [1308 1309 1310 ... 1317 1318 1319]\n"
             "  [1320 1321 1322 ... 1329 1330 1331]\n"
             "  ...\n"
             "  [1404 1405 1406 ... 1413 1414 1415]\n"
             "  [1416 1417 1418 ... 1425 1426 1427]\n"
             "  [1428 1429 1430 ... 1437 1438 1439]]\n"
             "\n"
             " [[1440 1441 1442 ... 1449 1450 1451]\n"
             "  [1452 1453 1454 ... 1461 1462 1463]\n"
             "  [1464 1465 1466 ... 1473 1474 1475]\n"
             "  ...\n"
             "  [1548 1549 1550 ... 1557 1558 1559]\n"
             "  [1560 1561 1562 ... 1569 1570 1571]\n"
             "  [1572 1573 1574 ... 1581 1582 1583]]\n"
             "\n"
             " [[1584 1585 1586 ... 1593 1594 1595]\n"
             "  [1596 1597 1598 ... 1605 1606 1607]\n"
             "  [1608 1609 1610 ... 1617 1618 1619]\n"
             "  ...\n"
             "  [1692 1693 1694 ... 1701 1702 1703]\n"
             "  [1704 1705 1706 ... 1713 1714 1715]\n"
             "  [1716 1717 1718 ... 1725 1726 1727]]] i32\n"},
    {TH_U8,
     2,
     {7, 200},
     .start = 0,
     .step = 0,
     .linear = true,
     .text = "[[0 0 0 ... 0 0 0]\n"
             " [0 0 0 ... 0 0 0]\n"
             " [0 0 0 ... 0 0 0]\n"
             " ...\n"
             " [0 0 0 ... 0 0 0]\n"
             " [0 0 0 ... 0 0 0]\n"
             " [0 0 0 ... 0 0 0]] u8\n"},
    {TH_I32,
     2,
     {2, 600},
     .start = -600,
     .step = 1,
     .linear = true,
     .text = "[[-600 -599 -598 ...   -3   -2   -1]\n"
             " [   0    1    2 ...  597  598  599]] i32\n"},
    {TH_BOOL,
     3,
     {2, 2, 300},
     .start = 0,
     .step = 0,
     .linear = true,
     .text = "[[[False False False ... False False False]\n"
             "  [False False False ... False False False]]\n"
             "\n"
             " [[False False False ... False False False]\n"
             "  [False False False ... False False False]]] bool\n"},
    {TH_F64,
     1,
     {2000},
     .start = -1000.5,
     .step = 1,
     .linear = true,
     .text = "[-1000.5  -999.5  -998.5 ...   996.5   997.5   998.5] f64\n"},
    {TH_F32,
     2,
     {3, 30},
     .start = 0,
     .step = -12.5,
     .linear = true,
     .text = "[[    0.    -12.5   -25.    -37.5   -50.    -62.5   -75.    -87.5  -100.\n"
             "   -112.5  -125.   -137.5  -150.   -162.5  -175.   -187.5  -200.   -212.5\n"
             "   -225.   -237.5  -250.   -262.5  -275.   -287.5  -300.   -312.5  -325.\n"
             "   -337.5  -350.   -362.5]\n"
             " [ -375.   -387.5  -400.   -412.5  -425.   -437.5  -450.   -462.5  -475.\n"
             "   -487.5  -500.   -512.5  -525.   -537.5  -550.   -562.5  -575.   -587.5\n"
             "   -600.   -612.5  -625.   -637.5  -650.   -662.5  -675.   -687.5  -700.\n"
             "   -712.5  -725.   -737.5]\n"
             " [ -750.   -762.5  -775.   -787.5  -800.   -812.5  -825.   -837.5  -850.\n"
             "   -862.5  -875.   -887.5  -900.   -912.5  -925.   -937.5  -950.   -962.5\n"
             "   -975.   -987.5 -1000.  -1012.5 -1025.  -1037.5 -1050.  -1062.5 -1075.\n"
             "  -1087.5 -1100.  -1112.5]] f32\n"},
    {TH_BF16, 1, {3}, .values = {0.1, 1, 2.5}, .text = "[0.1 1.  2.5] bf16\n"},
    {TH_BF16, 1, {2}, .values = {128, 1}, .text = "[1.28e+02 1.00e+00] bf16\n"},
};

/* What th_print() writes; free() it. */
static char *print(const th_array *a) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  th_status status = th_print(a, out);
  fclose(out);
  cr_assert(status == TH_OK, "%s", th_last_error());
  return text;
}

static th_array *make(const example *e) {
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, e->shape, e->ndim, e->t, "test"), TH_OK));
  int64_t n = th__layout_size(&l);
  size_t size = th_dtype_size(e->t);
  char *data = calloc(n ? (size_t)n : 1, size);
  for (int64_t i = 0; i < n; i++)
    th__dtype_set(e->t, data + (size_t)i * size,
                  e->linear ? e->start + (double)i * e->step : e->values[i]);
  th_array *a = th_from_host(data, e->shape, e->ndim, e->t, th_cpu(0));
  free(data);
  cr_assert(a != NULL, "%s", th_last_error());
  return a;
}

Test(print, as_numpy_prints) {
  int64_t before = th__mem_live();
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    th_array *a = make(&examples[i]);
    char *text = print(a);
    cr_assert(strcmp(text, examples[i].text) == 0, "example %zu: got\n%sexpected\n%s", i, text,
              examples[i].text);
    free(text);
    th_release(a);
  }
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(print, views) {
  th_array *a =
      make(&(example){.t = TH_I32, .ndim = 2, .shape = {3, 4}, .linear = true, .step = 1});
  th_layout view;
  cr_assert(eq(int, th__view_slice(&a->layout, "::-2, 1:3", &view), TH_OK));
  th_array *v = th__array_view(a, &view);
  char *text = print(v);
  cr_assert(eq(str, text, "[[ 9 10]\n [ 1  2]] i32\n"));
  free(text);
  int64_t large[2] = {100, 4};
  th_array *row = th__array_view(
      a, &(th_layout){.dtype = TH_I32, .ndim = 1, .offset = 4, .shape = {4}, .strides = {1}});
  cr_assert(eq(int, th__layout_broadcast(&row->layout, large, 2, &view, "test"), TH_OK));
  th_release(v);
  v = th__array_view(row, &view);
  text = print(v);
  cr_assert(strncmp(text, "[[4 5 6 7]\n [4 5 6 7]\n", 22) == 0, "%s", text);
  free(text);
  th_release(v);
  th_release(row);
  th_release(a);
}

Test(print, every_half_reads_back) {
  /* One at a time, so that 8 places never cut: what is printed is the shortest text that gives the value again. */
  for (uint32_t bits = 0; bits < 0x7c00; bits += 7) {
    th_f16 h = {(uint16_t)bits};
    th__format f;
    char text[TH__ELEMENT_TEXT];
    th__format_init(&f, TH_F16, &h, 1, false);
    int length = th__format_element(&f, &h, text);
    cr_assert(eq(sz, strlen(text), (size_t)length));
    cr_assert(th_f16_from_float(strtof(text, NULL)).bits == h.bits, "0x%04x prints as %s", bits,
              text);
  }
}

Test(print, every_exponent_reads_back_as_far_as_it_is_shown) {
  for (int e = -1074; e < 1024; e++) {
    double value = ldexp(1.1, e);
    th__format f;
    char text[TH__ELEMENT_TEXT];
    th__format_init(&f, TH_F64, &value, 1, false);
    th__format_element(&f, &value, text);
    double back = strtod(text, NULL), tolerance = e < -1022 ? 0.5 * value : 1e-8 * value;
    if (!f.scientific) tolerance = 0.5000001e-8;
    cr_assert(fabs(back - value) <= tolerance, "2^%d prints as %s", e, text);
  }
}

Test(print, the_locale_of_the_host_does_not_matter) {
  static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE"};
  bool found = false;
  for (int i = 0; i < 4 && !found; i++) found = setlocale(LC_ALL, names[i]) != NULL;
  th_array *a = make(&(example){.t = TH_F32, .ndim = 1, .shape = {2}, .values = {0.5, 1.25}});
  char *text = print(a);
  cr_assert(eq(str, text, "[0.5  1.25] f32\n"));
  free(text);
  th_release(a);
}

Test(print, refuses) {
  th_array *meta = th_from_host("ab", TH_SHAPE(2), TH_U8, th_meta());
  th_array *a = make(&examples[0]);
  cr_assert(eq(int, th_print(meta, stdout), TH_ENODATA));
  cr_assert(eq(str, (char *)th_last_error(), "th_print: an array on the meta device has no data"));
  cr_assert(eq(int, th_print(a, NULL), TH_EINVAL));
  th_clear_error();
  cr_assert(eq(int, th_print(NULL, stdout), TH_EINVAL));
  cr_assert(eq(str, (char *)th_last_error(), "th_print: array is NULL"));
  FILE *full = fopen("/dev/full", "w");
  if (full) {
    setvbuf(full, NULL, _IONBF, 0);
    cr_assert(eq(int, th_print(a, full), TH_EIO));
    fclose(full);
  }
  th_release(a);
  th_release(meta);
}
