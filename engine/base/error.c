/* Owns each thread's last status and message, and the texts of the status list. Thread-local, so there is no lock. */
#include "engine/base/error.h"

#include <string.h>

static _Thread_local th__last_error last;

th__last_error *th__error_slot(void) { return &last; }

th_status th__fail_v(th_status status, const char *format, va_list args) {
  TH_ASSERT(status != TH_OK);
  /* Formatted aside first: an argument may be th_last_error() itself. */
  char text[TH__ERROR_TEXT];
  if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = 0;
  last.status = status;
  memcpy(last.text, text, strlen(text) + 1);
  return status;
}

th_status th__fail(th_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  th__fail_v(status, format, args);
  va_end(args);
  return status;
}

void *th__fail_null(th_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  th__fail_v(status, format, args);
  va_end(args);
  return NULL;
}

th_status th_last_status(void) { return last.status; }

const char *th_last_error(void) { return last.text; }

void th_clear_error(void) {
  last.status = TH_OK;
  last.text[0] = 0;
}

typedef struct status_row {
  int value;
  const char *name;
  const char *text;
} status_row;

static const status_row status_rows[] = {
#define STATUS_ROW(id, value, text) {value, "TH_" #id, text},
    TH_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
};

static const status_row *status_find(th_status s) {
  static const status_row unknown = {0, "TH_?", "unknown status"};
  for (size_t i = 0; i < sizeof status_rows / sizeof *status_rows; i++)
    if (status_rows[i].value == (int)s) return &status_rows[i];
  return &unknown;
}

const char *th_status_name(th_status s) { return status_find(s)->name; }

const char *th_status_text(th_status s) { return status_find(s)->text; }

#define VERSION_TEXT(major, minor, patch)   #major "." #minor "." #patch
#define VERSION_EXPAND(major, minor, patch) VERSION_TEXT(major, minor, patch)

const char *th_version_string(void) {
  return VERSION_EXPAND(TH_VERSION_MAJOR, TH_VERSION_MINOR, TH_VERSION_PATCH);
}
