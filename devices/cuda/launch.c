/* Owns what operators put on a lane: kernels, found by name in images that each device loads on first use, scratch memory, fills and
 * copies within the device. All under the engine's lock of the device. */
#include <stdio.h>

#include "devices/cuda/parts.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/engine.h"

static th__cuda_lane *lane_of(th_task_context *context) { return th__context_lane(context); }

/* The lane of a body that is about to use it; fails when the device is lost. */
static th_status use_lane(th_task_context *context, th__cuda_lane **out) {
  *out = lane_of(context);
  return th__cuda_alive((*out)->device);
}

/* ---- kernels ---- */

/* The list, perhaps moved, with room for one more element; NULL and TH_ENOMEM. */
static void *grown(void *list, uint32_t count, uint32_t *room, size_t size) {
  if (count < *room) return list;
  uint32_t more = *room == 0 ? 16 : 2 * *room;
  void *moved = th__resize(list, more * size);
  if (moved != NULL) *room = more;
  return moved;
}

static th_status load_image(th__cuda_device *d, const th__cuda_image *image, th__cu_module *out) {
  for (uint32_t i = 0; i < d->n_images; i++) {
    if (d->images[i].image != image) continue;
    *out = d->images[i].module;
    return TH_OK;
  }
  void *list = grown(d->images, d->n_images, &d->images_room, sizeof *d->images);
  if (list == NULL) return TH_ENOMEM;
  d->images = list;
  char what[80];
  snprintf(what, sizeof what, "loading the kernels of %.50s", image->name);
  TH_TRY(th__cuda_check(d, th__cu.module_load(out, image->bytes), what));
  d->images[d->n_images++] = (th__cuda_loaded){image, *out};
  return TH_OK;
}

static th_status find_kernel(th__cuda_device *d, const th__cuda_image *image,
                             th__cuda_kernel *kernel) {
  th__cu_module module;
  th__cu_function function;
  char what[80];
  void *list = grown(d->kernels, d->n_kernels, &d->kernels_room, sizeof *d->kernels);
  if (list == NULL) return TH_ENOMEM;
  d->kernels = list;
  TH_TRY(load_image(d, image, &module));
  snprintf(what, sizeof what, "finding kernel %.50s", kernel->name);
  TH_TRY(th__cuda_check(d, th__cu.module_function(&function, module, kernel->name), what));
  kernel->function[d->index] = function;
  d->kernels[d->n_kernels++] = kernel;
  return TH_OK;
}

th_status th__cuda_launch(th_task_context *context, const th__cuda_image *image,
                          th__cuda_kernel *kernel, const unsigned grid[3], const unsigned block[3],
                          unsigned shared_bytes, void **args) {
  th__cuda_lane *lane;
  TH_TRY(use_lane(context, &lane));
  th__cuda_device *d = lane->device;
  if (kernel->function[d->index] == NULL) TH_TRY(find_kernel(d, image, kernel));
  double threads = (double)grid[0] * grid[1] * grid[2] * block[0] * block[1] * block[2];
  th__cuda_adds(threads, TH__CUDA_THREADS);
  th__cu_result result =
      th__cu.launch(kernel->function[d->index], grid[0], grid[1], grid[2], block[0], block[1],
                    block[2], shared_bytes, lane->stream, args, NULL);
  return result == TH__CU_SUCCESS ? TH_OK : th__cuda_check(d, result, kernel->name);
}

/* With the context entered, or lost. */
void th__cuda_launch_close(th__cuda_device *d) {
  for (uint32_t i = 0; i < d->n_kernels; i++) d->kernels[i]->function[d->index] = NULL;
  for (uint32_t i = 0; i < d->n_images; i++) (void)th__cu.module_unload(d->images[i].module);
  th__free(d->kernels);
  th__free(d->images);
  d->kernels = NULL;
  d->images = NULL;
  d->n_kernels = d->kernels_room = d->n_images = d->images_room = 0;
}

/* ---- memory ---- */

th_status th__cuda_scratch(th_task_context *context, int64_t bytes, void **out) {
  th__cuda_lane *lane;
  TH_TRY(use_lane(context, &lane));
  th__cuda_body *b = &th__cuda_running;
  void *list = grown(b->scratch, b->n_scratch, &b->scratch_room, sizeof *b->scratch);
  if (list == NULL) return TH_ENOMEM;
  b->scratch = list;
  th_status status = th__cuda_pool_take(&lane->device->memory, bytes, out);
  if (status == TH_OK) b->scratch[b->n_scratch++] = *out;
  bool again = status == TH_ENOMEM && !b->touched && !th__context_last_chance(context);
  return again ? TH__STARVED : status;
}

static th__cu_address address(const void *block) { return (th__cu_address)(uintptr_t)block; }

th_status th__cuda_fill(th_task_context *context, void *block, unsigned char value, int64_t bytes) {
  th__cuda_lane *lane;
  TH_TRY(use_lane(context, &lane));
  th__cuda_adds((double)bytes, 2 * TH__CUDA_MOVED);
  return th__cuda_check(lane->device,
                        th__cu.fill(address(block), value, (size_t)bytes, lane->stream), "fill");
}

th_status th__cuda_copy(th_task_context *context, void *to, const void *from, int64_t bytes) {
  th__cuda_lane *lane;
  TH_TRY(use_lane(context, &lane));
  th__cuda_adds((double)bytes, TH__CUDA_MOVED);
  return th__cuda_check(lane->device,
                        th__cu.copy_within(address(to), address(from), (size_t)bytes, lane->stream),
                        "copy");
}

th_status th__cuda_upload(th_task_context *context, void *to, const void *host, int64_t bytes) {
  return th__cuda_copy_in(NULL, lane_of(context), to, host, bytes);
}

int th__cuda_multiprocessors(th_task_context *context) {
  return lane_of(context)->device->multiprocessors;
}
