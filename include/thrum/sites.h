/**
 * @file sites.h
 * Included last: traces tell the file and line of calls in this source that waited, "th_item at train.c:42": th_wait*(), th_read(),
 * th_item(), th_print(), th_save_npy(), th_map_*(). Everything else stays as it is. Not part of thrum.h, because it is made of
 * macros.
 */
#ifndef THRUM_SITES_H
#define THRUM_SITES_H

#include <thrum/thrum.h>

/** @cond */
#define TH__AT(call)          th_profile_site(#call, __FILE__, __LINE__), (call)
#define th_wait(...)          (TH__AT(th_wait)(__VA_ARGS__))
#define th_wait_for(...)      (TH__AT(th_wait_for)(__VA_ARGS__))
#define th_wait_many(...)     (TH__AT(th_wait_many)(__VA_ARGS__))
#define th_read(...)          (TH__AT(th_read)(__VA_ARGS__))
#define th_item(...)          (TH__AT(th_item)(__VA_ARGS__))
#define th_print(...)         (TH__AT(th_print)(__VA_ARGS__))
#define th_save_npy(...)      (TH__AT(th_save_npy)(__VA_ARGS__))
#define th_map_read(...)      (TH__AT(th_map_read)(__VA_ARGS__))
#define th_map_write(...)     (TH__AT(th_map_write)(__VA_ARGS__))
#define th_wait_var(...)      (TH__AT(th_wait_var)(__VA_ARGS__))
#define th_wait_var_idle(...) (TH__AT(th_wait_var_idle)(__VA_ARGS__))
#define th_wait_var_for(...)  (TH__AT(th_wait_var_for)(__VA_ARGS__))
#define th_wait_all()         (TH__AT(th_wait_all)())
#define th_wait_device(...)   (TH__AT(th_wait_device)(__VA_ARGS__))
/** @endcond */

#endif
