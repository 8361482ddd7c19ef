/* Owns log lines: the program's logger, or the file that TH_LOG names. The file is opened at start and closed at stop, under
 * life.c's `starting`; between them `file` is constant. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/parts.h"

static int file = -1;

/* One write per line, so that lines of several threads, or processes, do not mix. */
static void to_file(th_log_level level, const char *message, void *user) {
  static const char *const names[] = {"error", "warning", "info"};
  char line[TH__ERROR_TEXT + 32];
  (void)user;
  int n = snprintf(line, sizeof line, "thrum %s: %s\n", names[level], message);
  if (n > 0) (void)!write(file, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

th_status th__log_open(th_config *config, const char *path) {
  if (path == NULL || (config->logger != NULL && config->logger != to_file)) return TH_OK;
  th__log_close();
  file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return th__fail(TH_EIO, "environment: TH_LOG=%s: %s", path, strerror(errno));
  config->logger = to_file;
  return TH_OK;
}

void th__log_close(void) {
  if (file >= 0) (void)close(file);
  file = -1;
}

void th__log(th_log_level level, const char *format, ...) {
  if (th__the.config.logger == NULL) return;
  char line[TH__ERROR_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  th__the.config.logger(level, line, th__the.config.logger_user);
}
