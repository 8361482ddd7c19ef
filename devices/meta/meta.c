/* The device of shapes. It owns nothing. */
#include "devices/meta/meta.h"

#include "engine/base/error.h"

static int meta_count(void) { return 1; }

static th_status meta_open(int index, void **state) {
  *state = NULL;
  return TH_OK;
}

static void meta_close(void *state) {}

const th__device_ops th__meta_ops = {
    .name = "meta",
    .caps = TH__CAP_NO_DATA,
    .count = meta_count,
    .open = meta_open,
    .close = meta_close,
};
