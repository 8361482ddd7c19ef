/* Tables of numbers: what is accepted, every fault with its place, hostile files, the real set. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <locale.h>
#include <string.h>

#include "support/arrays.h"
#include "support/files.h"

TestSuite(csv, .timeout = 60, .fini = stop_engine);

static th_array *load(const char *text, size_t n, th_dtype t) {
  char path[64];
  if (!scratch_file(path, text, n)) return NULL;
  th_clear_error();
  th_array *a = th_load_csv(path, t);
  unlink(path);
  return a;
}

Test(csv, accepts_the_usual_forms) {
  static const char *const texts[] = {
      "1,2,3\n4,5,6\n",
      "1,2,3\r\n4,5,6\r\n",
      "1,2,3\n4,5,6",
      "1 2 3\n4\t5  6\n",
      "\n  1, 2 ,3  \n\n4,5,6\n\n\n",
      "a,b,c\n1,2,3\n4,5,6\n",
      "\"first, one\";\"second\"\n1,2,3\n4,5,6\n",
      "# x y z\n1,2,3\n4,5,6\n",
      "\357\273\2771,2,3\n4,5,6\n", /* a byte order mark */
      "+1.0,2e0,.3e1\n4.,0.05E+2,6.000\n",
  };
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    th_array *a = load(texts[i], strlen(texts[i]), TH_F64);
    cr_assert(ne(ptr, a, NULL), "text %zu: %s", i, th_last_error());
    cr_assert(eq(int, th_array_ndim(a), 2));
    cr_assert(eq(i64, th_array_shape(a)[0], 2), "text %zu", i);
    cr_assert(eq(dbl, distance_to(a, 1, 2, 3, 4, 5, 6), 0), "text %zu", i);
    th_release(a);
  }
}

Test(csv, numbers_are_exact) {
  const char *text = "0.1,-1e-310,1.7976931348623157e308,9007199254740993,inf,-Infinity,nan\n";
  th_array *a = load(text, strlen(text), TH_F64);
  double got[7];
  cr_assert(eq(int, th_read(a, got, sizeof(got)), TH_OK), "%s", th_last_error());
  cr_assert(got[0] == 0.1 && got[1] == -1e-310 && got[2] == 1.7976931348623157e308);
  cr_assert(got[3] == 9007199254740992.0 && got[4] == INFINITY && got[5] == -INFINITY);
  cr_assert(isnan(got[6]));
  th_release(a);
  text = "9007199254740993,-9223372036854775808,9223372036854775807\n";
  a = load(text, strlen(text), TH_I64);
  int64_t whole[3];
  cr_assert(eq(int, th_read(a, whole, sizeof(whole)), TH_OK), "%s", th_last_error());
  cr_assert(eq(i64, whole[0], INT64_C(9007199254740993)));
  cr_assert(eq(i64, whole[1], INT64_MIN));
  cr_assert(eq(i64, whole[2], INT64_MAX));
  th_release(a);
}

Test(csv, does_not_depend_on_the_locale) {
  static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
  for (size_t i = 0; i < 4; i++) {
    if (setlocale(LC_ALL, names[i]) == NULL) continue;
    th_array *a = load("1.5,2.25\n", 9, TH_F64);
    cr_assert(eq(dbl, distance_to(a, 1.5, 2.25), 0), "locale %s: %s", names[i], th_last_error());
    th_release(a);
  }
}

typedef struct bad_text {
  const char *text;
  size_t n; /* 0: up to the end of text */
  th_dtype type;
  const char *message;
} bad_text;

Test(csv, faults_are_placed) {
  static const bad_text cases[] = {
      {"1,2\n3,x\n", 0, TH_F64, ":2:3: not a number"},
      {"1,2\n3\n", 0, TH_F64, ":2:2: fewer fields"},
      {"1,2\n3,4,5\n", 0, TH_F64, ":2:5: more fields"},
      {"1,,2\n", 0, TH_F64, ":1:3: empty field"},
      {"1,2,\n", 0, TH_F64, ":1:5: empty field"},
      {",1\n", 0, TH_F64, ":1:1: empty field"},
      {"1,2\n\n\n3,0x10\n", 0, TH_F64, ":4:3: not a number"},
      {"1,2\nname,3\n", 0, TH_F64, ":2:1: not a number"},
      {"1,1e\n", 0, TH_F64, ":1:3: not a number"},
      {"1,1.2.3\n", 0, TH_F64, ":1:3: not a number"},
      {"1,--2\n", 0, TH_F64, ":1:3: not a number"},
      {"1,.\n", 0, TH_F64, ":1:3: not a number"},
      {"1;2\n", 0, TH_F64, ":1:1: not a number"},
      {"1,2\r3,4\n", 0, TH_F64, ":1:4: carriage return"},
      {"1,2\n3\0,4\n", 9, TH_F64, ":2:2: NUL byte"},
      {"a,\0b\n1,2\n", 9, TH_F64, ":1:3: NUL byte"},
      {"\0\0\0\0", 4, TH_F64, ":1:1: NUL byte"},
      {"1,300\n", 0, TH_U8, ":1:3: the number does not fit"},
      {"1,-1\n", 0, TH_U8, ":1:3: the number does not fit"},
      {"1,-129\n", 0, TH_I8, ":1:3: the number does not fit"},
      {"1,2\n", 0, TH_BOOL, ":1:3: the number does not fit"},
      {"1,99999999999999999999\n", 0, TH_I64, ":1:3: the number does not fit"},
      {"1,18446744073709551616\n", 0, TH_U64, ":1:3: the number does not fit"},
      {"1,1.5\n", 0, TH_I32, ":1:3: not an integer"},
      {"", 0, TH_F64, "no rows of numbers"},
      {"\n\n  \n", 0, TH_F64, "no rows of numbers"},
      {"a,b,c\n", 0, TH_F64, "no rows of numbers"},
      {"a,b,c", 0, TH_F64, "no rows of numbers"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const bad_text *c = &cases[i];
    th_array *a = load(c->text, c->n > 0 ? c->n : strlen(c->text), c->type);
    cr_assert(zero(ptr, a), "case %zu was accepted: %s", i, c->message);
    cr_assert(eq(int, th_last_status(), TH_EIO), "case %zu: %s", i, th_last_error());
    cr_assert(strstr(th_last_error(), c->message) != NULL, "case %zu wants \"%s\": %s", i,
              c->message, th_last_error());
    cr_assert(strstr(th_last_error(), "/thrum-test-") != NULL, "case %zu: no path", i);
  }
}

Test(csv, overlong_fields_and_lines) {
  size_t n = 1 << 20;
  char *text = malloc(n + 8);
  memset(text, '7', n);
  cr_assert(zero(ptr, load(text, n, TH_F64)), "a number of a million digits");
  cr_assert(strstr(th_last_error(), ":1:1: field of more than 255") != NULL, "%s", th_last_error());
  memset(text, 'n', n);
  memcpy(text + n, "\n1,2\n", 5);
  th_array *a = load(text, n + 5, TH_F64);
  cr_assert(eq(dbl, distance_to(a, 1, 2), 0), "names may be long: %s", th_last_error());
  th_release(a);
  for (size_t i = 0; i < n; i += 2) memcpy(text + i, "1 ", 2);
  a = load(text, n, TH_U8);
  cr_assert(ne(ptr, a, NULL), "%s", th_last_error());
  cr_assert(eq(i64, th_array_shape(a)[1], (int64_t)n / 2));
  th_release(a);
  free(text);
}

Test(csv, missing_files_and_bad_arguments) {
  cr_assert(zero(ptr, th_load_csv("/nonexistent/file.csv", TH_F32)));
  cr_assert(eq(int, th_last_status(), TH_EIO));
  cr_assert(strstr(th_last_error(), "/nonexistent/file.csv") != NULL, "%s", th_last_error());
  cr_assert(zero(ptr, th_load_csv("/tmp", TH_F32)));
  cr_assert(eq(int, th_last_status(), TH_EIO), "a folder: %s", th_last_error());
  cr_assert(zero(ptr, th_load_csv(NULL, TH_F32)));
  cr_assert(zero(ptr, th_load_csv("/tmp", (th_dtype)99)));
  cr_assert(eq(int, th_last_status(), TH_EDTYPE));
}

Test(csv, survives_random_bytes) {
  uint64_t state = 1;
  static const char alphabet[] = "0123456789,,..ee+- \n\n\r\t\"ax\0\xFF";
  for (int round = 0; round < 2000; round++) {
    char text[64];
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    size_t n = (size_t)(state >> 58);
    for (size_t i = 0; i < n; i++) {
      state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
      text[i] = alphabet[(state >> 33) % (sizeof(alphabet) - 1)];
    }
    th_array *a = load(text, n, (th_dtype)(round % TH_DTYPE_COUNT));
    cr_assert(a != NULL || th_last_status() == TH_EIO, "round %d: %s", round, th_last_error());
    th_release(a);
  }
}

Test(csv, reads_optdigits) {
  char path[512];
  if (real_file(path, "optdigits/optdigits.tes") == NULL)
    cr_skip("TH_TEST_DATA names no data sets");
  th_array *a = th_load_csv(path, TH_F32);
  cr_assert(ne(ptr, a, NULL), "%s", th_last_error());
  cr_assert(eq(i64, th_array_shape(a)[0], 1797));
  cr_assert(eq(i64, th_array_shape(a)[1], 65));
  th_array *largest = th_max(a, NULL, 0, false);
  cr_assert(eq(dbl, th_item(largest), 16));
  th_release(a);
  th_release(largest);
}
