/* Owns the traces that tests of thrum-trace read. */
#include "support/traces.h"

#include <stdlib.h>
#include <string.h>

const char traces_diamond[] =
    "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"version\":\"0.1.0\",\"dropped\":0},\n"
    "\"traceEvents\":[\n"
    "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"thread_name\","
    "\"args\":{\"name\":\"cpu:0 worker 0\",\"kind\":\"worker\"}},\n"
    "{\"ph\":\"M\",\"pid\":1,\"tid\":2,\"name\":\"thread_name\","
    "\"args\":{\"name\":\"cpu:0 worker 1\",\"kind\":\"worker\"}},\n"
    "{\"ph\":\"M\",\"pid\":1,\"tid\":3,\"name\":\"thread_name\","
    "\"args\":{\"name\":\"host thread 0 waits\",\"kind\":\"waits\","
    "\"lane\":\"host thread 0\"}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":3,\"ts\":0.040,\"dur\":0.470,\"cat\":\"wait\","
    "\"name\":\"th_wait_all\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0.100,\"dur\":0.100,\"cat\":\"op\","
    "\"name\":\"make\",\"args\":{\"id\":1,\"reads\":1,\"writes\":1,\"bytes\":8,"
    "\"status\":\"ok\",\"ns\":[0,0,100,200]}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0.210,\"dur\":0.100,\"cat\":\"op\","
    "\"name\":\"add\",\"args\":{\"id\":2,\"reads\":1,\"writes\":1,\"bytes\":8,"
    "\"status\":\"ok\",\"ns\":[10,200,210,310],\"after\":[1]}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":0.230,\"dur\":0.200,\"cat\":\"op\","
    "\"name\":\"add\",\"args\":{\"id\":3,\"reads\":1,\"writes\":1,\"bytes\":8,"
    "\"status\":\"ok\",\"ns\":[20,200,230,430],\"after\":[1]}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":0.440,\"dur\":0.060,\"cat\":\"op\","
    "\"name\":\"multiply\",\"args\":{\"id\":4,\"reads\":1,\"writes\":1,\"bytes\":8,"
    "\"status\":\"ok\",\"ns\":[30,430,440,500],\"after\":[2,3]}},\n"
    "{\"ph\":\"s\",\"pid\":1,\"tid\":1,\"id\":0,\"cat\":\"dep\",\"name\":\"dep\","
    "\"ts\":0.199},\n"
    "{\"ph\":\"f\",\"pid\":1,\"tid\":1,\"id\":0,\"cat\":\"dep\",\"name\":\"dep\","
    "\"ts\":0.210},\n"
    "{\"ph\":\"C\",\"pid\":1,\"tid\":0,\"name\":\"pending tasks\",\"args\":{\"value\":4},"
    "\"ts\":0.030}\n"
    "]}\n";

const char traces_rich[] =
    "{\"otherData\":{\"version\":\"0.1.0\",\"dropped\":0,\"memory\":[\n"
    "{\"device\":\"cpu:0\",\"tag\":\"add\",\"count\":2,\"taken\":3072,\"at_peak\":2048,"
    "\"peak\":2560,\"peak_ns\":300},\n"
    "{\"device\":\"cpu:0\",\"tag\":\"copy\",\"count\":1,\"taken\":512,\"at_peak\":512,"
    "\"peak\":2560,\"peak_ns\":300}]},\n"
    "\"traceEvents\":[\n"
    "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"thread_name\","
    "\"args\":{\"name\":\"cpu:0 worker 0\",\"kind\":\"worker\"}},\n"
    "{\"ph\":\"M\",\"pid\":1,\"tid\":2,\"name\":\"thread_name\","
    "\"args\":{\"name\":\"cpu:0 worker 1\",\"kind\":\"worker\"}},\n"
    "{\"ph\":\"C\",\"pid\":1,\"tid\":0,\"name\":\"run-ahead\",\"args\":{\"value\":2},\"ts\":0.010},"
    "\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0.100,\"dur\":0.100,\"cat\":\"op\","
    "\"name\":\"copy\",\"args\":{\"id\":1,\"ns\":[0,0,100,200],\"flops\":0,\"moved\":1000,"
    "\"copies\":true}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0.300,\"dur\":0.100,\"cat\":\"op\","
    "\"name\":\"add\",\"args\":{\"id\":2,\"ns\":[10,200,300,400],\"flops\":1500,\"moved\":400,"
    "\"note\":\"f32(8,4) -> f32(8)\",\"starved\":210,\"after\":[1]}},\n"
    "{\"ph\":\"C\",\"pid\":1,\"tid\":0,\"name\":\"run-ahead\",\"args\":{\"value\":0},\"ts\":0.400}"
    "\n"
    "]}\n";

char *traces_replace(const char *text, const char *from, const char *to) {
  const char *at = strstr(text, from);
  char *out = at == NULL ? NULL : malloc(strlen(text) + strlen(to) + 1);
  if (out == NULL) return NULL;
  size_t before = (size_t)(at - text);
  memcpy(out, text, before);
  strcpy(out + before, to);
  strcat(out, at + strlen(from));
  return out;
}
