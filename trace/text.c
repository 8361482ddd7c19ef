/* Owns the small texts of all outputs. */
#include "trace/text.h"

#include <stdbool.h>
#include <string.h>

const char *text_time(int64_t ns, char out[TEXT_TIME]) {
  static const struct {
    double unit;
    const char *name;
  } scales[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
  double absolute = ns < 0 ? -(double)ns : (double)ns;
  for (int i = 0; i < 3; i++) {
    if (absolute < scales[i].unit * 0.9995) continue;
    double value = (double)ns / scales[i].unit, size = absolute / scales[i].unit;
    snprintf(out, TEXT_TIME, "%.*f %s",
             size < 9.995   ? 2
             : size < 99.95 ? 1
                            : 0,
             value, scales[i].name);
    return out;
  }
  snprintf(out, TEXT_TIME, "%lld ns", (long long)ns);
  return out;
}

const char *text_bytes(int64_t bytes, char out[TEXT_TIME]) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes;
  int unit = 0;
  for (; value >= 1023.95 && unit < 4; unit++) value /= 1024;
  snprintf(out, TEXT_TIME, "%.*f %s", unit > 0, value, units[unit]);
  return out;
}

const char *text_rate(double rate, char out[TEXT_TIME]) {
  if (rate < 0.005)
    snprintf(out, TEXT_TIME, "-");
  else
    snprintf(out, TEXT_TIME, "%.*f", rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0, rate);
  return out;
}

const char *text_plain(const char *name, int width, char *out) {
  int n = 0;
  for (const unsigned char *s = (const unsigned char *)name; *s != 0 && n < width; s++) {
    if ((*s & 0xc0) == 0x80) continue; /* inside a character that became one '?' */
    out[n++] = *s < 0x20 || *s >= 0x7f ? '?' : (char)*s;
  }
  out[n] = 0;
  return out;
}

void text_json(FILE *out, const char *name) {
  putc('"', out);
  for (const unsigned char *s = (const unsigned char *)name; *s != 0; s++) {
    if (*s < 0x20 || *s == 0x7f || strchr("\"\\<>&", *s) != NULL) {
      fprintf(out, "\\u%04x", *s);
    } else {
      putc(*s, out);
    }
  }
  putc('"', out);
}

void text_csv(FILE *out, const char *name) {
  putc('"', out);
  for (const char *s = name; *s != 0; s++) {
    if (*s == '"') putc('"', out);
    putc(*s, out);
  }
  putc('"', out);
}

/* U+FFFE and U+FFFF, which no XML may hold. */
static bool is_no_character(const unsigned char *s) {
  return s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe;
}

void text_xml(FILE *out, const char *name, size_t most) {
  for (const unsigned char *s = (const unsigned char *)name; *s != 0; s++) {
    if ((size_t)(s - (const unsigned char *)name) >= most && (*s & 0xc0) != 0x80) break;
    if (is_no_character(s)) {
      putc('?', out);
      s += 2;
    } else if (strchr("<>&\"'", *s) != NULL) {
      fprintf(out, "&#%d;", *s);
    } else {
      putc(*s < 0x20 || *s == 0x7f ? '?' : *s, out);
    }
  }
}
