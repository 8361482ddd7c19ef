/* files write PATH | files check PATH: a safetensors file with an array of each type, as tests/numpy/files.py makes and reads it. Element
 * i of every array is (7 i + 3) mod 11, of bool that mod 2. */
#include <stdio.h>
#include <string.h>

#include <thrum/thrum.h>

static const int64_t shape[] = {3, 4, 5};

static th_array *make(th_dtype t) {
  th_array *count = th_arange(0, 60, 1, TH_I32, th_cpu(0)), *cube = th_reshape(count, shape, 3);
  th_array *times = th_multiply_scalar(cube, 7), *plus = th_add_scalar(times, 3);
  th_array *rest = th_remainder_scalar(plus, t == TH_BOOL ? 2 : 11), *a = th_astype(rest, t);
  th_array *made[] = {count, cube, times, plus, rest};
  for (int i = 0; i < 5; i++) th_release(made[i]);
  return a;
}

static int failed(const char *what) {
  fprintf(stderr, "files: %s: %s\n", what, th_last_error());
  return 1;
}

static int write_file(const char *path) {
  th_array *list[TH_DTYPE_COUNT + 2];
  const char *names[TH_DTYPE_COUNT + 2];
  static const char *const metadata[] = {"format", "np", "caf\xc3\xa9", "a \"b\" \\ \n", NULL};
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    list[t] = make((th_dtype)t);
    names[t] = th_dtype_name((th_dtype)t);
  }
  list[TH_DTYPE_COUNT] = th_zeros(TH_SHAPE(0, 2), TH_F32, th_cpu(0));
  names[TH_DTYPE_COUNT] = "empty";
  list[TH_DTYPE_COUNT + 1] = th_full(TH_SCALAR, 2.5, TH_F64, th_cpu(0));
  names[TH_DTYPE_COUNT + 1] = "sc\"al\\ar\t\xf0\x9f\x98\x80";
  if (th_save(list, names, TH_DTYPE_COUNT + 2, metadata, path) != TH_OK) return failed(path);
  for (int i = 0; i < TH_DTYPE_COUNT + 2; i++) th_release(list[i]);
  return 0;
}

static int check_array(th_file *f, th_dtype t) {
  th_array *got = th_file_array(f, th_dtype_name(t), th_cpu(0)), *wanted = make(t);
  if (!got || th_array_dtype(got) != t || th_array_ndim(got) != 3 ||
      memcmp(th_array_shape(got), shape, sizeof shape) != 0)
    return failed(th_dtype_name(t));
  th_array *same = th_equal(got, wanted), *all = th_all(same, NULL, 0, false);
  int bad = th_item(all) == 1 ? 0 : failed(th_dtype_name(t));
  th_array *made[] = {got, wanted, same, all};
  for (int i = 0; i < 4; i++) th_release(made[i]);
  return bad;
}

static int check_file(const char *path) {
  th_file *f = th_file_open(path);
  if (!f) return failed(path);
  int bad = 0;
  for (int t = 0; t < TH_DTYPE_COUNT; t++) bad |= check_array(f, (th_dtype)t);
  const char *note = th_file_metadata(f, "caf\xc3\xa9");
  if (!note || strcmp(note, "a \"b\" \\ \n") != 0) bad |= failed("metadata");
  th_array *one = th_file_array(f, "sc\"al\\ar\t\xf0\x9f\x98\x80", th_cpu(0));
  if (th_item(one) != 2.5) bad |= failed("a name with other characters");
  th_release(one);
  th_file_release(f);
  return bad;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int bad = strcmp(argv[1], "write") == 0 ? write_file(argv[2]) : check_file(argv[2]);
  return bad | (th_shutdown() != TH_OK);
}
