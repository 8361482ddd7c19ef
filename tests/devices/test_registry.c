/* Names of devices, kinds, counting. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "devices/cpu/cpu.h"
#include "devices/meta/meta.h"
#include "engine/base/error.h"
#include "engine/engine.h"
#include "support/lagdevice.h"

/* Threads are not left to the end of the process: the thread sanitizer calls them leaked. */
static void stop(void) { th_shutdown(); }

TestSuite(registry, .timeout = 60, .fini = stop);

Test(registry, devices_are_values) {
  cr_assert(eq(int, th_cpu(3).kind, TH_CPU));
  cr_assert(eq(int, th_cpu(3).index, 3));
  cr_assert(eq(int, th_cuda(1).kind, TH_CUDA));
  cr_assert(eq(int, th_meta().kind, TH_META));
  cr_assert(eq(int, th_cpu(-7).index, -1));
  cr_assert(eq(int, th_cpu(65536).index, -1)); /* not cpu:0 */
  cr_assert(th_device_equal(th_cpu(0), (th_device){0}));
  cr_assert(not(th_device_equal(th_cpu(0), th_cpu(1))));
  cr_assert(not(th_device_equal(th_cpu(0), th_cuda(0))));
}

Test(registry, names) {
  static const struct {
    th_device d;
    const char *name;
  } rows[] = {
      {{TH_CPU, 0}, "cpu:0"}, {{TH_CPU, 15}, "cpu:15"}, {{TH_CUDA, 2}, "cuda:2"},
      {{TH_META, 0}, "meta"}, {{TH_META, 1}, "meta:1"}, {{TH_CPU, -1}, "cpu:-1"},
      {{7, 1}, "kind7:1"},    {{-2, 0}, "kind-2:0"},    {{99, 0}, "kind99:0"},
  };
  char text[32];
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    cr_assert(eq(ptr, (void *)th_device_name(rows[i].d, text, sizeof text), text));
    cr_assert(eq(str, text, (char *)rows[i].name));
  }
}

Test(registry, names_fit_their_buffer) {
  char text[8] = "xxxxxxx";
  th_device_name(th_cuda(12), text, 4);
  cr_assert(eq(str, text, (char *)"cud"));
  cr_assert(eq(chr, text[4], 'x'));
  th_device_name(th_cpu(0), text, 0);
  cr_assert(eq(str, text, (char *)"cud"));
}

Test(registry, parsing) {
  static const struct {
    const char *text;
    th_device d;
  } good[] = {{"cpu", {TH_CPU, 0}},     {"cpu:0", {TH_CPU, 0}},        {"cpu:15", {TH_CPU, 15}},
              {"cuda", {TH_CUDA, 0}},   {"cuda:3", {TH_CUDA, 3}},      {"meta", {TH_META, 0}},
              {"meta:0", {TH_META, 0}}, {"cpu:32767", {TH_CPU, 32767}}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    th_device d = {77, 77};
    cr_assert(eq(int, th_device_parse(good[i].text, &d), TH_OK), "%s", good[i].text);
    cr_assert(th_device_equal(d, good[i].d), "%s", good[i].text);
  }
}

Test(registry, parsing_refuses_the_rest) {
  static const char *const bad[] = {"",
                                    "gpu",
                                    "cpu:",
                                    "cpu:x",
                                    "cpu:-1",
                                    "cpu:1x",
                                    "cpu 0",
                                    "CPU",
                                    "cpu:32768",
                                    "cpu0",
                                    "meta:1",
                                    "cpu:+1",
                                    " cpu",
                                    "cpu::1",
                                    "cudax",
                                    "cpu: 1",
                                    ":0",
                                    "lag:0",
                                    "cpu:99999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    th_device d = {77, 77};
    cr_assert(eq(int, th_device_parse(bad[i], &d), TH_EINVAL), "%s", bad[i]);
    cr_assert(eq(int, d.kind, 77), "%s", bad[i]);
    char quoted[64];
    snprintf(quoted, sizeof quoted, "device_parse: \"%s\" names no device", bad[i]);
    cr_assert(strncmp(th_last_error(), quoted, strlen(quoted)) == 0, "%s", th_last_error());
  }
  th_device d;
  cr_assert(eq(int, th_device_parse(NULL, &d), TH_EINVAL));
  cr_assert(eq(int, th_device_parse("cpu", NULL), TH_EINVAL));
}

Test(registry, names_are_read_back) {
  lag_install(1);
  static const th_device devices[] = {
      {TH_CPU, 0}, {TH_CUDA, 4}, {TH_META, 0}, {TH_KIND_EXTERNAL, 2}};
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
    char text[32];
    th_device d;
    th_device_name(devices[i], text, sizeof text);
    cr_assert(eq(int, th_device_parse(text, &d), TH_OK), "%s", text);
    cr_assert(th_device_equal(d, devices[i]), "%s", text);
  }
}

Test(registry, counts) {
  cr_assert(eq(int, th_device_count(TH_CPU), 1));
  cr_assert(eq(int, th_device_count(TH_META), 1));
  cr_assert(eq(int, th_device_count(TH_CUDA), 0));
  cr_assert(eq(int, th_device_count(TH_KIND_EXTERNAL), 0));
  cr_assert(eq(int, th_last_status(), TH_OK));
  cr_assert(eq(int, th_device_count((th_device_kind)42), 0));
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
  lag_install(1);
  cr_assert(eq(int, th_device_count(TH_KIND_EXTERNAL), LAG_DEVICES));
}

Test(registry, kinds_survive_restarts) {
  for (int i = 0; i < 3; i++) {
    cr_assert(eq(int, th_init(NULL), TH_OK), "%s", th_last_error());
    cr_assert(eq(ptr, (void *)th__device_kind_ops(TH_CPU), (void *)&th__cpu_ops));
    cr_assert(eq(ptr, (void *)th__device_kind_ops(TH_META), (void *)&th__meta_ops));
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}

Test(registry, memory_functions_check_the_device) {
  th_memory_info m;
  static const th_device absent[] = {{TH_CUDA, 0}, {TH_CPU, 9}, {-1, 0}, {7, 0}, {TH_META, 1}};
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
    cr_assert(eq(int, th_memory_get(absent[i], &m), TH_EDEVICE), "row %zu", i);
    cr_assert(eq(int, th_memory_set_limit(absent[i], 1), TH_EDEVICE), "row %zu", i);
    cr_assert(eq(int, th_memory_trim(absent[i]), TH_EDEVICE), "row %zu", i);
    cr_assert(eq(int, th_memory_reset_peak(absent[i]), TH_EDEVICE), "row %zu", i);
    char name[32];
    th_device_name(absent[i], name, sizeof name);
    cr_assert(not(zero(ptr, strstr(th_last_error(), name))), "%s", th_last_error());
  }
  cr_assert(eq(int, th_memory_get(th_cpu(0), NULL), TH_EINVAL));
}

Test(registry, memory_of_an_external_kind) {
  lag_install(1);
  const th__device_ops *ops;
  void *state, *block;
  cr_assert(eq(int, th__device_open(lag_device(1), &ops, &state), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, ops->alloc(state, 128, &block), TH_OK));
  th_memory_info m;
  cr_assert(eq(int, th_memory_get(lag_device(1), &m), TH_OK));
  cr_assert(eq(i64, m.live, 128));
  ops->free(state, block, 128);
}
