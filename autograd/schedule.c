/* Owns schedules: pure functions of the step. */
#include <inttypes.h>
#include <math.h>

#include "engine/base/error.h"
#include "thrum/optim.h"

/* A length below 1 is reported. */
static bool is_length(const char *who, int64_t length) {
  if (length >= 1) return true;
  th__fail(TH_EINVAL, "%s: length %" PRId64 " must be 1 or more", who, length);
  return false;
}

/* step / steps within [0, 1]. */
static double share(int64_t step, int64_t steps) {
  if (step <= 0) return 0;
  return step >= steps ? 1 : (double)step / (double)steps;
}

double th_schedule_step(int64_t step, int64_t period, double gamma) {
  if (!is_length("schedule_step", period)) return (double)NAN;
  return step <= 0 ? 1 : pow(gamma, (double)(step / period));
}

double th_schedule_cosine(int64_t step, int64_t steps, double lowest) {
  const double pi = 3.14159265358979323846;
  if (!is_length("schedule_cosine", steps)) return (double)NAN;
  return lowest + (1 - lowest) * (1 + cos(pi * share(step, steps))) / 2;
}

double th_schedule_warmup(int64_t step, int64_t steps, double first) {
  if (!is_length("schedule_warmup", steps)) return (double)NAN;
  return first + (1 - first) * share(step, steps);
}
