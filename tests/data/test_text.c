/* Texts: bytes of files, their numbers, windows, and batches of windows. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <sys/stat.h>

#include "support/arrays.h"
#include "support/files.h"

TestSuite(text, .timeout = 60, .fini = stop_engine);

Test(text, bytes_numbers_and_windows) {
  char path[64];
  cr_assert(scratch_file(path, "hello\n\xff\0", 8));
  th_array *text = th_load_text(path);
  cr_assert(text != NULL, "%s", th_last_error());
  cr_assert(eq(dbl, distance_to(text, 'h', 'e', 'l', 'l', 'o', '\n', 255, 0), 0));
  uint8_t vocabulary[256];
  int n = 0;
  th_array *ids = th_text_ids(text, TH_I64, vocabulary, &n);
  cr_assert(eq(int, n, 7));
  cr_assert(zero(memcmp(vocabulary, "\0\nehlo\xff", 7)));
  cr_assert(eq(int, th_array_dtype(ids), TH_I64));
  cr_assert(eq(dbl, distance_to(ids, 3, 2, 4, 4, 5, 1, 6, 0), 0));
  th_array *by_one = th_windows(ids, 6, 1), *by_two = th_windows(ids, 3, 2);
  cr_assert(th_array_shares(by_one, ids) && th_array_shape(by_one)[0] == 3);
  cr_assert(eq(dbl, distance_to(by_one, 3, 2, 4, 4, 5, 1, 2, 4, 4, 5, 1, 6, 4, 4, 5, 1, 6, 0), 0));
  cr_assert(eq(dbl, distance_to(by_two, 3, 2, 4, 4, 4, 5, 5, 1, 6), 0));
  th_array *flipped = th_flip(ids, NULL, 0), *back = th_windows(flipped, 7, 3);
  cr_assert(eq(dbl, distance_to(back, 0, 6, 1, 5, 4, 4, 2), 0));
  th_array *none = th_windows(ids, 9, 1), *all = th_windows(ids, 8, 100);
  cr_assert(th_array_shape(none)[0] == 0 && th_array_shape(all)[0] == 1);
  cr_assert(eq(dbl, distance_to(all, 3, 2, 4, 4, 5, 1, 6, 0), 0));
  th_array *made[] = {text, ids, by_one, by_two, flipped, back, none, all};
  for (int i = 0; i < 8; i++) th_release(made[i]);
  unlink(path);
}

/* Batches of windows hold the text, each window once. */
Test(text, batches_of_windows) {
  char path[64], bytes[500];
  for (int i = 0; i < 500; i++) bytes[i] = (char)(i % 251);
  cr_assert(scratch_file(path, bytes, 500));
  th_array *text = th_load_text(path), *windows = th_windows(text, 17, 1);
  th_loader *l = th_loader_new(
      TH_ARRAYS(windows), &(th_loader_options){.batch = 32, .shuffle = true, .drop_last = true});
  cr_assert(eq(i64, th_loader_batches(l), 484 / 32));
  th_array *batch;
  int64_t rows, seen[251] = {0};
  while ((rows = th_loader_next(l, &batch)) > 0) {
    uint8_t data[32 * 17];
    cr_assert(eq(int, th_array_dtype(batch), TH_U8));
    cr_assert(eq(int, th_read(batch, data, sizeof data), TH_OK));
    for (int i = 0; i < 32; i++) {
      seen[data[i * 17]]++;
      for (int j = 1; j < 17; j++)
        cr_assert(eq(int, data[i * 17 + j], (data[i * 17 + j - 1] + 1) % 251));
    }
    th_release(batch);
  }
  for (int i = 0; i < 251; i++) cr_assert(seen[i] <= 2);
  th_loader_release(l);
  th_release(windows);
  th_release(text);
  unlink(path);
}

Test(text, more_different_bytes_than_numbers) {
  uint8_t bytes[129], vocabulary[256];
  for (int i = 0; i < 129; i++) bytes[i] = (uint8_t)(100 + i);
  th_array *all = th_from_host(bytes, TH_SHAPE(129), TH_U8, th_cpu(0)), *some = th_slice(all, "1:");
  int n = 0;
  th_array *ids = th_text_ids(some, TH_I8, vocabulary, &n), *most = th_max(ids, NULL, 0, false);
  cr_assert(eq(dbl, th_item(most), 127), "%s", th_last_error());
  cr_assert(zero(ptr, th_text_ids(all, TH_I8, vocabulary, &n)));
  cr_assert(eq(int, th_last_status(), TH_EOVERFLOW));
  cr_assert(strstr(th_last_error(), "text_ids: 129 different bytes") != NULL, "%s",
            th_last_error());
  th_array *wide = th_text_ids(all, TH_U8, vocabulary, &n);
  cr_assert(wide != NULL && n == 129, "%s", th_last_error());
  th_array *made[] = {all, some, ids, most, wide};
  for (int i = 0; i < 5; i++) th_release(made[i]);
}

Test(text, real_text) {
  char path[512];
  if (real_file(path, "text/tinyshakespeare.txt") == NULL)
    cr_skip("TH_TEST_DATA names no folder with text/tinyshakespeare.txt");
  th_array *text = th_load_text(path);
  uint8_t vocabulary[256];
  int n = 0;
  th_array *ids = th_text_ids(text, TH_U8, vocabulary, &n);
  cr_assert(eq(i64, th_array_size(ids), 1115394));
  cr_assert(eq(int, n, 65));
  cr_assert(vocabulary[0] == '\n' && vocabulary[64] == 'z');
  th_release(ids);
  th_release(text);
}

Test(text, refusals) {
  char path[64];
  cr_assert(zero(ptr, th_load_text(NULL)));
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
  cr_assert(zero(ptr, th_load_text("/nowhere/at/all")));
  cr_assert(eq(int, th_last_status(), TH_EIO));
  cr_assert(zero(ptr, th_load_text("/tmp")));
  cr_assert(strstr(th_last_error(), "th_load_text: '/tmp': not a regular file") != NULL);
  cr_assert(scratch_file(path, "", 0));
  th_array *empty = th_load_text(path);
  cr_assert(empty != NULL && th_array_size(empty) == 0, "%s", th_last_error());
  uint8_t vocabulary[256];
  int n = 7;
  th_array *ids = th_text_ids(empty, TH_I32, vocabulary, &n);
  cr_assert(ids != NULL && n == 0, "%s", th_last_error());
  th_array *floats = th_zeros(TH_SHAPE(3), TH_F32, th_cpu(0));
  cr_assert(zero(ptr, th_text_ids(floats, TH_I32, vocabulary, &n)));
  cr_assert(zero(ptr, th_text_ids(empty, TH_F32, vocabulary, &n)));
  cr_assert(eq(int, th_last_status(), TH_EDTYPE));
  cr_assert(zero(ptr, th_text_ids(empty, TH_I32, NULL, &n)));
  cr_assert(zero(ptr, th_windows(floats, 0, 1)));
  cr_assert(zero(ptr, th_windows(floats, 1, 0)));
  th_array *square = th_zeros(TH_SHAPE(2, 2), TH_F32, th_cpu(0));
  cr_assert(zero(ptr, th_windows(square, 1, 1)));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE));
  th_array *made[] = {empty, ids, floats, square};
  for (int i = 0; i < 4; i++) th_release(made[i]);
  unlink(path);
}
