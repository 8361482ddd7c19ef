/* Owns the public th_profile_*() calls that start, stop and write, and recording by TH_PROFILE. `lock` guards auto_path. */
#include "thrum/profile.h"

#include <errno.h>
#include <string.h>

#include "engine/parts.h"
#include "engine/trace.h"
#include "engine/trace_view.h"

static th__spin lock;
static char *auto_path; /* where th__trace_autostop() writes; NULL = nowhere */

th_status th_profile_start(uint32_t what) {
  if ((what & ~(uint32_t)(TH_PROFILE_ALL | TH_PROFILE_SHAPES)) != 0)
    return th__fail(TH_EINVAL, "th_profile_start: what has unknown bits 0x%x", what);
  TH_TRY(th__trace_begin(what == 0 ? TH_PROFILE_ALL : what));
  th__trace_memory_begins();
  return TH_OK;
}

th_status th_profile_write(FILE *out) {
  if (out == NULL) return th__fail(TH_EINVAL, "th_profile_write: out is NULL");
  th__trace_view view;
  th_status status = th__trace_view_make(&view);
  if (status == TH_OK) status = th__trace_write_chrome(&view, out);
  th__trace_view_free(&view);
  return status;
}

/* Waits for what was submitted to every device, without observing failures. */
static void wait_for_all(void) {
  if (th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON) return;
  uint32_t n = th__load(&th__the.n_devices, TH__ACQUIRE); /* devices that are open */
  for (uint32_t i = 0; i < n; i++) {
    th__pool_device *device = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (device != NULL && th_wait_device(device->id) != TH_OK) return;
  }
}

static th_status write_file(const char *path) {
  FILE *out = fopen(path, "w");
  if (out == NULL)
    return th__fail(TH_EIO, "th_profile_stop: cannot write %s: %s", path, strerror(errno));
  th_status status = th_profile_write(out);
  int reason = errno;
  if (fclose(out) != 0 && status == TH_OK) {
    reason = errno;
    status = TH_EIO;
  }
  if (status != TH_EIO) return status;
  return th__fail(TH_EIO, "th_profile_stop: cannot write %s: %s", path, strerror(reason));
}

th_status th_profile_stop(const char *path) {
  if (path != NULL) {
    th__last_error saved = *th__error_slot();
    wait_for_all();
    *th__error_slot() = saved;
  }
  TH_TRY(th__trace_end());
  return path == NULL ? TH_OK : write_file(path);
}

void th__trace_autostart(const char *path) {
  char *copy = path == NULL || *path == 0 ? NULL : th__strdup(path);
  if (copy == NULL) return;
  th__spin_lock(&lock);
  char *old = auto_path;
  auto_path = copy;
  th__spin_unlock(&lock);
  th__free(old);
  if (th_profile_start(TH_PROFILE_ALL | TH_PROFILE_SHAPES) != TH_OK)
    th__log(TH_LOG_ERROR, "TH_PROFILE: %s", th_last_error());
}

void th__trace_autostop(void) {
  th__spin_lock(&lock);
  char *path = auto_path;
  auto_path = NULL;
  th__spin_unlock(&lock);
  if (path == NULL) return;
  th__last_error saved = *th__error_slot();
  if (th__trace_end() != TH_OK || write_file(path) != TH_OK)
    th__log(TH_LOG_ERROR, "TH_PROFILE: %s", th_last_error());
  *th__error_slot() = saved;
  th__free(path);
}
