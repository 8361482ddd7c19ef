/* Status and message of each thread, and the texts of the list. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/thread.h"

TestSuite(error, .timeout = 60);

Test(error, starts_clean_and_clears) {
  cr_assert(eq(int, th_last_status(), TH_OK));
  cr_assert(eq(str, (char *)th_last_error(), (char *)""));
  cr_assert(eq(int, th__fail(TH_ESHAPE, "add: (%d) and (%d)", 2, 3), TH_ESHAPE));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE));
  cr_assert(eq(str, (char *)th_last_error(), (char *)"add: (2) and (3)"));
  th_clear_error();
  cr_assert(eq(int, th_last_status(), TH_OK));
  cr_assert(eq(str, (char *)th_last_error(), (char *)""));
}

Test(error, makers_get_null) {
  cr_assert(zero(ptr, th__fail_null(TH_ENOMEM, "make: %s", "none")));
  cr_assert(eq(int, th_last_status(), TH_ENOMEM));
  cr_assert(eq(str, (char *)th_last_error(), (char *)"make: none"));
}

Test(error, may_quote_the_message_before) {
  th__fail(TH_EIO, "read: short");
  th__fail(TH_EIO, "load: %s", th_last_error());
  cr_assert(eq(str, (char *)th_last_error(), (char *)"load: read: short"));
}

Test(error, long_messages_are_cut_and_terminated) {
  char text[2 * TH__ERROR_TEXT];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  th__fail(TH_EINVAL, "%s", text);
  cr_assert(eq(sz, strlen(th_last_error()), (size_t)TH__ERROR_TEXT - 1));
}

Test(error, slot_saves_and_restores) {
  th__fail(TH_EDTYPE, "outer");
  th__last_error saved = *th__error_slot();
  th__fail(TH_EIO, "inner");
  *th__error_slot() = saved;
  cr_assert(eq(int, th_last_status(), TH_EDTYPE));
  cr_assert(eq(str, (char *)th_last_error(), (char *)"outer"));
}

static void fail_elsewhere(void *arg) {
  int *was = arg;
  *was = th_last_status();
  th__fail(TH_EIO, "elsewhere");
}

Test(error, belongs_to_its_thread) {
  th__fail(TH_EINVAL, "here");
  int was = 1;
  th__thread_handle thread;
  cr_assert(eq(int, th__thread_start(&thread, fail_elsewhere, &was, "failing"), TH_OK));
  th__thread_join(&thread);
  cr_assert(eq(int, was, TH_OK));
  cr_assert(eq(str, (char *)th_last_error(), (char *)"here"));
}

static th_status tries(th_status s, bool *went_on) {
  TH_TRY(s);
  *went_on = true;
  return TH_OK;
}

Test(error, try_returns_early) {
  bool went_on = false;
  cr_assert(eq(int, tries(TH_EBUSY, &went_on), TH_EBUSY));
  cr_assert(not(went_on));
  cr_assert(eq(int, tries(TH_OK, &went_on), TH_OK));
  cr_assert(went_on);
}

Test(error, names_and_texts) {
  static const struct {
    th_status s;
    const char *name;
  } rows[] = {
#define ROW(id, value, text) {TH_##id, "TH_" #id},
      TH_STATUS_MAP(ROW)
#undef ROW
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    cr_assert(eq(str, (char *)th_status_name(rows[i].s), (char *)rows[i].name));
    cr_assert(strlen(th_status_text(rows[i].s)) > 3, "text of %s", rows[i].name);
    for (size_t k = 0; k < i; k++)
      cr_assert(ne(int, rows[i].s, rows[k].s), "%s and %s", rows[i].name, rows[k].name);
  }
  cr_assert(eq(str, (char *)th_status_name((th_status)-999), (char *)"TH_?"));
  cr_assert(eq(str, (char *)th_status_text((th_status)7), (char *)"unknown status"));
}

Test(error, version) {
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", TH_VERSION_MAJOR, TH_VERSION_MINOR, TH_VERSION_PATCH);
  cr_assert(eq(str, (char *)th_version_string(), text));
}
