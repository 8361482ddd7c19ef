/**
 * @file autograd.h
 * Gradients: record on arrays, walk back.
 *
 * Operations on arrays that require gradients leave nodes; th_backward() walks them and submits ordinary operations,
 * so gradients are asynchronous, too. Recording is switched per thread; nodes hang from arrays and may cross threads.
 */
#ifndef THRUM_AUTOGRAD_H
#define THRUM_AUTOGRAD_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of th_backward() and th_grads() */
enum {
  TH_RETAIN_GRAPH = 1, /**< Keep the nodes: backward may run again. */
  TH_CREATE_GRAPH =
      2, /**< Record the backward operations, for higher derivatives. Implies TH_RETAIN_GRAPH. */
  TH_ALLOW_UNUSED = 4 /**< th_grads() only: NULL for inputs that no output depends on. */
};

/** What a backward does with the gradient that is kept of an array, see th_set_grad_request(). */
typedef enum th_grad_request {
  TH_GRAD_ADD = 0,  /**< Adds to it; the default. */
  TH_GRAD_WRITE = 1 /**< Replaces it by a new array; nothing has to be zeroed between steps. */
} th_grad_request;

TH_API th_status th_require_grad(
    th_array *a); /**< Makes a (floating, not itself recorded) a leaf that collects a gradient. */
TH_API bool th_requires_grad(
    const th_array *a); /**< a is a leaf that requires a gradient, or was computed from one. */
/* In-place operators on computed arrays are recorded. While recording, TH_EINVAL refuses writes into leaves, into recorded
 * views, into arrays with recorded views, and recorded writes into arrays whose storage other arrays show. */

/** Adds d loss / d leaf to the gradient of every leaf loss depends on. loss: one element, or see th_backward_from().
 *  Returns when all is submitted. TH_EINVAL: nothing recorded, or the graph was freed by an earlier call (use
 *  TH_RETAIN_GRAPH). TH_EVERSION: an array needed for a gradient was changed in place after it was recorded; where a hook, or the
 *  call itself by adding to a gradient, has changed it, gradients are there in part, and the graph is used up. */
TH_API th_status th_backward(th_array *loss, uint32_t flags);
/** As th_backward() for any shape, starting from gradient (same shape and dtype as a). */
TH_API th_status th_backward_from(th_array *a, const th_array *gradient, uint32_t flags);
/** d sum(outputs * head_gradients) / d inputs[i] into gradients[i] (+1 each): an array of the input's shape and dtype that
 *  nobody else shares. Gradients of leaves stay as they are, and hooks are not called. Inputs are leaves or computed arrays; what
 *  does not lead to one of them is not walked. head_gradients, or entries of it, may be NULL = ones; else shape, dtype and
 *  device of the output. Returns when all is submitted. TH_EINVAL: an output or input has no history; an input that no output
 *  depends on, unless TH_ALLOW_UNUSED (then NULL); the graph was freed. TH_EVERSION as th_backward(). On failure all are NULL. */
TH_API th_status th_grads(th_array *const *outputs, int n_outputs, th_array *const *head_gradients,
                          th_array *const *inputs, int n_inputs, uint32_t flags,
                          th_array **gradients);

TH_API th_array *th_grad(
    const th_array *a); /**< Borrowed gradient kept of a; NULL (no error) when there is none. */
TH_API void th_zero_grad(th_array *a); /**< Forgets the gradient of a. */
/** Has every th_backward() that passes a computed array keep its gradient for th_grad(), as leaves do. Nothing to do for leaves.
 *  TH_EINVAL: a has no history. An operator that writes a in place ends it. */
TH_API th_status th_retain_grad(th_array *a);
/** Whether gradients of a leaf (or of an array with th_retain_grad()) add up or replace each other. TH_EINVAL otherwise. */
TH_API th_status th_set_grad_request(th_array *a, th_grad_request request);
TH_API bool th_grad_mode(
    bool on); /**< Switches recording on this thread; returns the old setting. Default on. */
TH_API th_array *th_detach(th_array *a); /**< +1: view of the same data without history. */
/** Calls fn(gradient, user) on the thread that runs th_backward() once the last contribution to a's gradient is submitted and before
 *  anything behind it is, so that what fn submits overlaps the rest. gradient (borrowed): th_grad(a) where that is kept, else
 *  this backward's, not to be written. a: a leaf or a computed array. Recording is off meanwhile, unless that call has
 *  TH_CREATE_GRAPH. A hook stays, and user with it, until the array and everything computed from it have gone. TH_EINVAL: a was not
 *  recorded, or fn is NULL. */
TH_API th_status th_on_grad(th_array *a, void (*fn)(th_array *gradient, void *user), void *user);

/** A function of th_custom() and th_recompute(): puts n_outputs new arrays (+1 each) into outputs, by any public calls on inputs,
 *  which it must not write. Called with no scope open: it releases what it makes on the way, or opens a scope of its own and
 *  keeps the results. A failure is passed on; then outputs that are not NULL are released. */
typedef th_status (*th_forward_fn)(th_array *const *inputs, int n_inputs, th_array **outputs,
                                   int n_outputs, void *user);
/** Its gradient, by public calls: d inputs[i] (+1, or NULL = zero) into gradients[i], from the gradients of all outputs. */
typedef th_status (*th_backward_fn)(th_array *const *inputs, th_array *const *outputs,
                                    th_array *const *output_gradients, th_array **gradients,
                                    void *user);
/** th_function.unsaved */
enum {
  TH_UNSAVED_INPUTS = 1, /**< backward gets NULL for all inputs. */
  TH_UNSAVED_OUTPUTS = 2 /**< backward gets NULL for all outputs. */
};
/** A function that brings its own gradient. */
typedef struct th_function {
  size_t size;             /**< sizeof(th_function). */
  th_forward_fn forward;   /**< Runs within th_custom(), unrecorded. */
  th_backward_fn backward; /**< Runs within th_backward(), recorded with TH_CREATE_GRAPH. */
  uint32_t unsaved; /**< TH_UNSAVED_*: what backward can do without, so that its memory is freed. */
  void *user;       /**< For both. */
  void (*drop)(
      void
          *user); /**< Called once, on any thread, when user is not needed any more; may be NULL. */
} th_function;
/** Calls f->forward and records the call as one operator whose gradient is f->backward. outputs get +1 each, arrays of their own
 *  (what forward shares with its inputs is copied). drop is called in any case but one, a wrong size. TH_EINVAL: that, or a
 *  function or operands are missing. */
TH_API th_status th_custom(const th_function *f, th_array *const *inputs, int n_inputs,
                           th_array **outputs, int n_outputs);
/** Calls fn unrecorded and keeps nothing but the inputs; th_backward() calls fn again, recorded, and walks what that leaves (Chen et
 *  al. 2016): memory for one more forward. Random operators draw the same numbers again. What requires a gradient must be
 *  among the inputs, else th_backward() fails; other effects of fn (running figures of th_batch_norm()) come twice. Without an
 *  input that requires a gradient: just calls fn. drop (or NULL) as in th_function; blocks only as fn does. */
TH_API th_status th_recompute(th_forward_fn fn, th_array *const *inputs, int n_inputs,
                              th_array **outputs, int n_outputs, void *user,
                              void (*drop)(void *user));

/** A function to check: builds and returns its result (+1) from inputs. Called with no scope open: it releases what it
 *  makes on the way, or opens a scope of its own and keeps the result. */
typedef th_array *(*th_grad_fn)(th_array *const *inputs, int n, void *user);
/** Compares th_backward() of sum(fn(inputs) * fixed random weights) with central differences
 *  (f(x + h) - f(x - h)) / 2h for every element of every f64 input. Blocks. Returns TH_EKERNEL with the worst element in
 *  the message when |difference| > tolerance * max(1, |numeric|); *worst (may be NULL) gets the largest such ratio. */
TH_API th_status th_grad_check(th_grad_fn fn, th_array *const *inputs, int n, void *user,
                               double step, double tolerance, double *worst);

#ifdef __cplusplus
}
#endif
#endif
