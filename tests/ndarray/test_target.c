/* How files are replaced: beside what a killed process left, through links, and where a file system lacks hard links. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ndarray/files.h"
#include "support/arrays.h"
#include "support/files.h"
#include "support/tasks.h"

static char folder[64], path[128], other[160];

/* --- a file system that lacks something: these stand between the library and the system --- */

static bool no_links, no_unnamed;
static int no_more_files = -1; /* once so many were made; -1: no limit */
static int moments, without_file;

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  if (!no_links) return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  errno = EPERM;
  return -1;
}

int openat(int at, const char *name, int flags, ...) {
  va_list args;
  va_start(args, flags);
  bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  mode_t mode = makes ? va_arg(args, mode_t) : 0;
  va_end(args);
  if (no_unnamed && (flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  if (makes && no_more_files == 0) {
    errno = ENOSPC;
    return -1;
  }
  if (makes && no_more_files > 0) no_more_files--;
  return (int)syscall(SYS_openat, at, name, flags, mode);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  moments++;
  without_file += access(path, F_OK) != 0;
  int result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
  int kept = errno;
  without_file += access(path, F_OK) != 0;
  errno = kept;
  return result;
}

static void lack_links(void) { no_links = no_unnamed = true; }

/* --- helpers --- */

static void make_folder(void) {
  cr_assert(scratch_directory(folder));
  snprintf(path, sizeof path, "%s/a", folder);
}

static void remove_folder(void) {
  stop_engine();
  cr_assert(scratch_remove(folder));
}

TestSuite(target, .init = make_folder, .fini = remove_folder, .timeout = 60);

static const char *beside(const char *name) {
  snprintf(other, sizeof other, "%s/%s", folder, name);
  return other;
}

static int files(void) { return scratch_count(folder); }

/* Saves x as two elements that have this value. */
static th_status save(double value, const char *to, int keep) {
  const char *names[] = {"x"};
  th_array *x = th_full(TH_SHAPE(2), value, TH_F32, th_cpu(0));
  th_array *saved = th__save(&x, names, 1, NULL, to, keep, "test");
  th_status status = saved ? th_wait(saved) : th_last_status();
  th_release(saved);
  th_release(x);
  return status;
}

static double value_in(const char *name) {
  th_file *f = th_file_open(name);
  cr_assert(f != NULL, "%s", th_last_error());
  th_array *x = th_file_array(f, "x", th_cpu(0)), *most = th_max(x, NULL, 0, false);
  double value = th_item(most);
  th_release(x);
  th_release(most);
  th_file_release(f);
  return value;
}

static bool is_link(const char *name) {
  struct stat info;
  return lstat(name, &info) == 0 && S_ISLNK(info.st_mode);
}

/* --- names --- */

/* In a container a process that starts again has the number of the one that was killed. */
Test(target, names_that_a_killed_process_left_are_passed_over) {
  enum { LEFT = 100 };
  for (int i = 0; i < LEFT; i++) {
    char name[64];
    snprintf(name, sizeof name, "a.%ld.%d.tmp", (long)getpid(), i);
    FILE *left = fopen(beside(name), "w");
    cr_assert(left != NULL);
    fclose(left);
  }
  for (int i = 0; i < 4; i++) {
    no_unnamed = i >= 2;
    cr_assert(eq(int, save(i, path, 1), TH_OK), "%s", th_last_error());
    cr_assert(eq(dbl, value_in(path), i));
    cr_assert(eq(int, files(), LEFT + 1), "they may be somebody's");
  }
}

/* --- links --- */

/* Arrays of a file are its memory: written over, it would change them. */
Test(target, a_file_that_is_mapped_is_saved_through_a_link) {
  const char *names[] = {"a", "b"};
  th_array *list[] = {th_full(TH_SHAPE(5000), 1, TH_F32, th_cpu(0)),
                      th_full(TH_SHAPE(5000), 2, TH_F32, th_cpu(0))};
  char link[160];
  snprintf(link, sizeof link, "%s", beside("link"));
  cr_assert(eq(int, symlink("a", link), 0));
  cr_assert(eq(int, th_save(list, names, 2, NULL, link), TH_OK), "the file is made");
  cr_assert(is_link(link) && !is_link(path));
  cr_assert(eq(int, chmod(path, 0640), 0));
  th_file *f = th_file_open(link);
  th_array *a = th_file_array(f, "a", th_cpu(0)), *b = th_file_array(f, "b", th_cpu(0));
  cr_assert(eq(int, th_save((th_array *[]){b, a}, names, 2, NULL, link), TH_OK));
  th_file *swapped = th_file_open(link);
  th_array *twos = th_file_array(swapped, "a", th_cpu(0)),
           *ones = th_file_array(swapped, "b", th_cpu(0));
  cr_assert(eq(int, save(3, link, 1), TH_OK), "a shorter one");
  th_array *all[] = {a, b, ones, twos}, *least[4], *most[4];
  static const double wanted[] = {1, 2, 1, 2};
  for (int i = 0; i < 4; i++) {
    least[i] = th_min(all[i], NULL, 0, false);
    most[i] = th_max(all[i], NULL, 0, false);
    cr_assert(th_item(least[i]) == wanted[i] && th_item(most[i]) == wanted[i], "%d", i);
  }
  struct stat info;
  cr_assert(eq(int, stat(path, &info), 0));
  cr_assert(is_link(link) && S_ISREG(info.st_mode) && (info.st_mode & 0777) == 0640);
  cr_assert(eq(dbl, value_in(path), 3));
  cr_assert(eq(int, files(), 2));
  for (int i = 0; i < 4; i++) {
    th_release(least[i]);
    th_release(most[i]);
    th_release(all[i]);
  }
  th_release(list[0]);
  th_release(list[1]);
  th_file_release(f);
  th_file_release(swapped);
}

Test(target, links_to_links_in_other_folders) {
  char first[160], second[160];
  cr_assert(eq(int, mkdir(beside("sub"), 0700), 0));
  snprintf(first, sizeof first, "%s", beside("first"));
  snprintf(second, sizeof second, "%s", beside("sub/second"));
  cr_assert(eq(int, symlink("sub/second", first), 0));
  cr_assert(eq(int, symlink("../a", second), 0));
  for (int i = 1; i <= 3; i++) cr_assert(eq(int, save(i, first, 2), TH_OK), "%s", th_last_error());
  cr_assert(is_link(first) && is_link(second) && !is_link(path));
  cr_assert(value_in(path) == 3 && value_in(beside("a.1")) == 2);
  cr_assert(eq(int, files(), 4), "a, a.1, first, sub");
  cr_assert(eq(int, unlink(path), 0));
  cr_assert(eq(int, symlink(first, path), 0));
  cr_assert(eq(int, save(4, first, 1), TH_EIO), "in a circle");
  cr_assert(strstr(th_last_error(), "first': ") != NULL, "%s", th_last_error());
}

Test(target, a_failed_save_through_a_link_makes_no_file) {
  const char *names[] = {"x"};
  th_array *bad = th_ones(TH_SHAPE(3), TH_F32, th_cpu(0));
  cr_assert(eq(int, push_fail("broken", "on purpose", NULL, th_array_var(bad)), TH_OK));
  cr_assert(eq(int, symlink(path, beside("link")), 0));
  cr_assert(eq(int, th_save(&bad, names, 1, NULL, other), TH_EKERNEL));
  cr_assert(is_link(other) && access(path, F_OK) != 0);
  th_release(bad);
}

/* A link of /proc may lead to a file without a name, which can only be written to. */
Test(target, a_file_without_a_name) {
  int memory = memfd_create("target", 0);
  cr_assert(memory >= 0);
  snprintf(other, sizeof other, "/proc/self/fd/%d", memory);
  if (access(other, W_OK) != 0) cr_skip("no /proc");
  for (int i = 1; i < 3; i++) {
    cr_assert(eq(int, save(i, other, 1), TH_OK), "%s", th_last_error());
    cr_assert(eq(dbl, value_in(other), i));
  }
  close(memory);
}

/* Nor is what the process has open, as its standard output may be, replaced behind its back. */
Test(target, an_open_file_is_written_to) {
  struct stat before, after;
  int descriptor = open(path, O_RDWR | O_CREAT, 0600);
  cr_assert(descriptor >= 0 && fstat(descriptor, &before) == 0);
  snprintf(other, sizeof other, "/proc/self/fd/%d", descriptor);
  if (access(other, W_OK) != 0) cr_skip("no /proc");
  char name[160];
  snprintf(name, sizeof name, "%s/link", folder);
  cr_assert(eq(int, symlink(other, name), 0));
  cr_assert(eq(int, save(1, name, 1), TH_OK), "%s", th_last_error());
  cr_assert(stat(path, &after) == 0 && after.st_ino == before.st_ino);
  cr_assert(eq(dbl, value_in(path), 1));
  close(descriptor);
}

/* --- versions --- */

/* What stands where an old version should go does not hinder a save. */
Test(target, a_folder_where_an_old_version_goes) {
  cr_assert(eq(int, mkdir(beside("a.2"), 0700), 0));
  for (int i = 1; i <= 4; i++) {
    cr_assert(eq(int, save(i, path, 3), TH_OK), "%s", th_last_error());
    cr_assert(eq(dbl, value_in(path), i));
    if (i > 1) cr_assert(eq(dbl, value_in(beside("a.1")), i - 1));
  }
}

static void keep_three(void) {
  for (int i = 1; i <= 5; i++) {
    cr_assert(eq(int, save(i, path, 3), TH_OK), "%s", th_last_error());
    cr_assert(eq(dbl, value_in(path), i));
    for (int k = 1; k < (i < 3 ? i : 3); k++) {
      char name[16];
      snprintf(name, sizeof name, "a.%d", k);
      cr_assert(eq(dbl, value_in(beside(name)), i - k), "version %d after save %d", k, i);
    }
    cr_assert(eq(int, files(), i < 3 ? i : 3));
    if (i == 1) without_file = 0; /* before there was one */
  }
  cr_assert(moments > 8);
  cr_assert(eq(int, without_file, 0), "path has a file at every moment");
}

Test(target, versions_with_hard_links) { keep_three(); }

Test(target, versions_without_hard_links) {
  lack_links();
  keep_three();
}

Test(target, versions_keep_who_may_read_them) {
  lack_links();
  cr_assert(eq(int, save(1, path, 2), TH_OK));
  cr_assert(eq(int, chmod(path, 0600), 0));
  cr_assert(eq(int, save(2, path, 2), TH_OK));
  struct stat info;
  cr_assert(eq(int, stat(beside("a.1"), &info), 0));
  cr_assert(eq(int, (int)info.st_mode & 0777, 0600));
}

/* No room for the copy: neither path nor an older version is lost. */
Test(target, a_version_that_cannot_be_kept_is_a_failure) {
  lack_links();
  for (int i = 1; i <= 2; i++) cr_assert(eq(int, save(i, path, 2), TH_OK));
  no_more_files = 1; /* the new one */
  cr_assert(eq(int, save(3, path, 2), TH_EIO));
  cr_assert(strstr(th_last_error(), "No space left on device") != NULL, "%s", th_last_error());
  no_more_files = -1;
  cr_assert(value_in(path) == 2 && value_in(beside("a.1")) == 1);
  cr_assert(eq(int, files(), 2));
  cr_assert(eq(int, save(3, path, 2), TH_OK));
}

/* What a process leaves that was killed between keeping the old file and replacing it. */
Test(target, a_version_that_is_the_file_itself) {
  cr_assert(eq(int, save(1, path, 2), TH_OK));
  cr_assert(eq(int, link(path, beside("a.1")), 0));
  cr_assert(eq(int, save(2, path, 2), TH_OK), "%s", th_last_error());
  cr_assert(value_in(path) == 2 && value_in(beside("a.1")) == 1);
  cr_assert(eq(int, files(), 2));
}
