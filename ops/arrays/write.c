/* Owns th_write(). Elements with gaps in memory that the host does not reach arrive side by side in an array of the same device and are
 * spread from there by its kernel, so that the call does not wait; everything else goes straight. */
#include "engine/base/error.h"
#include "ops/op.h"

/* Seen neither by scopes nor by the tape, like any write. */
static th_status write_spread(th_array *a, const void *in) {
  th_scope scope = th__scope_suspend();
  const th__interceptor *watching = th__interceptor_swap(NULL);
  th_array *near = th_from_host(in, a->layout.shape, a->layout.ndim, a->layout.dtype, a->device);
  th_status status = near ? th_assign(a, near) : th_last_status();
  th_release(near);
  (void)th__interceptor_swap(watching);
  (void)th__scope_resume(scope, NULL);
  if (status == TH_OK) th__storage_written(a->storage, "write");
  return status;
}

th_status th_write(th_array *a, const void *in, size_t bytes) {
  TH_TRY(th__write_check(a, in, bytes));
  if (bytes == 0 || th__write_straight(a)) return th__write(a, in, bytes);
  return write_spread(a, in);
}
