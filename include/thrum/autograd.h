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

/** th_backward() flags */
enum {
  TH_RETAIN_GRAPH = 1, /**< Keep the nodes: backward may run again. */
  TH_CREATE_GRAPH =
      2 /**< Record the backward operations, for higher derivatives. Implies TH_RETAIN_GRAPH. */
};

TH_API th_status th_require_grad(
    th_array *a); /**< Makes a (floating, not itself recorded) a leaf that collects a gradient. */
TH_API bool th_requires_grad(
    const th_array *a); /**< a is a leaf that requires a gradient, or was computed from one. */
/* In-place operators on computed arrays are recorded. While recording, TH_EINVAL refuses writes into leaves, into recorded
 * views, into arrays with recorded views, and recorded writes into arrays whose storage other arrays show. */

/** Adds d loss / d leaf to the gradient of every leaf loss depends on. loss: one element, or see th_backward_from().
 *  Returns when all is submitted. TH_EINVAL: nothing recorded, or the graph was freed by an earlier call (use
 *  TH_RETAIN_GRAPH). TH_EVERSION: an array needed for a gradient was changed in place after it was recorded. */
TH_API th_status th_backward(th_array *loss, uint32_t flags);
/** As th_backward() for any shape, starting from gradient (same shape and dtype as a). */
TH_API th_status th_backward_from(th_array *a, const th_array *gradient, uint32_t flags);
TH_API th_array *th_grad(
    const th_array *a); /**< Borrowed gradient of a leaf; NULL (no error) when there is none. */
TH_API void th_zero_grad(th_array *a); /**< Forgets the gradient of a leaf. */
TH_API bool th_grad_mode(
    bool on); /**< Switches recording on this thread; returns the old setting. Default on. */
TH_API th_array *th_detach(th_array *a); /**< +1: view of the same data without history. */
/** Calls fn(gradient, user) on the thread that runs th_backward() once a leaf's gradient has got its last contribution.
 *  Recording is off meanwhile, unless that call has TH_CREATE_GRAPH. */
TH_API th_status th_on_grad(th_array *leaf, void (*fn)(th_array *gradient, void *user), void *user);

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
