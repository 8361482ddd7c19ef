/* browser CHROMIUM PAGE PICTURES WIDTH HEIGHT [dark]: opens a page of thrum-trace in a headless Chromium, driven through its
 * debugging pipe, and does what a person would: looks, zooms, hovers, searches, drags. Pictures go to the folder. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trace/scan.h"

enum { MOST_MESSAGE = 64 << 20, PATIENCE_MS = 30000, LOAD_MS = 2000, FRAME_MS = 16, TRIES = 5 };

static struct {
  pid_t pid;
  int to, from; /* our ends of the pipes */
  char *inbox;  /* the last message, ended by 0 */
  size_t have;  /* bytes behind it */
  size_t used;  /* of the message, with its 0 */
  char session[64];
  int id, exceptions, failures;
} browser;

static _Noreturn void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("browser: ", stderr);
  vfprintf(stderr, format, args);
  va_end(args);
  putc('\n', stderr);
  if (browser.pid > 0) kill(browser.pid, SIGKILL);
  exit(1);
}

static void check(bool ok, const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("%s ", ok ? "  ok   " : "  FAIL ");
  vprintf(format, args);
  putchar('\n');
  va_end(args);
  browser.failures += !ok;
}

static void start(const char *program, const char *profile) {
  int down[2], up[2];
  if (pipe(down) != 0 || pipe(up) != 0) die("pipe: %s", strerror(errno));
  browser.pid = fork();
  if (browser.pid == 0) {
    char folder[300];
    snprintf(folder, sizeof folder, "--user-data-dir=%s", profile);
    if (dup2(down[0], 13) < 0 || dup2(up[1], 14) < 0 || dup2(13, 3) < 0 || dup2(14, 4) < 0)
      _exit(1);
    for (int i = 5; i < 64; i++) close(i);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 2);
    execlp(program, program, "--headless=new", "--no-sandbox", "--disable-gpu",
           "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
           "--remote-debugging-pipe", folder, "about:blank", (char *)NULL);
    _exit(127);
  }
  close(down[0]);
  close(up[1]);
  browser.to = down[1];
  browser.from = up[0];
  browser.inbox = malloc(MOST_MESSAGE);
  if (browser.inbox == NULL) die("out of memory");
}

/* Waits for the next message; it lies in browser.inbox. */
static void receive(void) {
  memmove(browser.inbox, browser.inbox + browser.used, browser.have);
  browser.used = 0;
  size_t looked = 0;
  for (;;) {
    char *end = memchr(browser.inbox + looked, 0, browser.have - looked);
    if (end != NULL) {
      browser.used = (size_t)(end - browser.inbox) + 1;
      browser.have -= browser.used;
      return;
    }
    looked = browser.have;
    struct pollfd wait = {.fd = browser.from, .events = POLLIN};
    if (poll(&wait, 1, PATIENCE_MS) <= 0) die("the browser does not answer");
    if (browser.have == MOST_MESSAGE) die("a message that is too long");
    ssize_t n = read(browser.from, browser.inbox + browser.have, MOST_MESSAGE - browser.have);
    if (n <= 0) die("the browser has gone");
    browser.have += (size_t)n;
  }
}

/* Sends a command and waits for its answer, which lies in browser.inbox. */
static void command(const char *method, const char *params) {
  char head[256], wanted[32];
  int id = ++browser.id;
  int n = snprintf(head, sizeof head, "{\"id\":%d,%s%s%s\"method\":\"%s\",\"params\":", id,
                   browser.session[0] ? "\"sessionId\":\"" : "", browser.session,
                   browser.session[0] ? "\"," : "", method);
  size_t length = strlen(params);
  if (write(browser.to, head, (size_t)n) != n ||
      write(browser.to, params, length) != (ssize_t)length || write(browser.to, "}", 2) != 2)
    die("the browser does not listen");
  int m = snprintf(wanted, sizeof wanted, "{\"id\":%d,", id);
  do {
    receive();
    browser.exceptions += strstr(browser.inbox, "\"Runtime.exceptionThrown\"") != NULL;
  } while (strncmp(browser.inbox, wanted, (size_t)m) != 0);
  if (strstr(browser.inbox, "\"error\":{") != NULL) die("%s: %.300s", method, browser.inbox);
}

static void send(const char *method, const char *format, ...) {
  char params[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(params, sizeof params, format, args);
  va_end(args);
  command(method, params);
}

/* The text of the first member of this name in the last answer. */
static const char *answer(const char *key, char *out, size_t bytes) {
  scanner s;
  scan_begin(&s, browser.inbox, browser.used - 1);
  for (scan_token token; (token = scan_next(&s)) != SCAN_END && token != SCAN_ERROR;) {
    if (token != SCAN_KEY || !scan_is(&s, key)) continue;
    if (scan_next(&s) != SCAN_STRING) continue;
    scan_decode(&s, out, bytes);
    return out;
  }
  out[0] = 0;
  return out;
}

/* A JavaScript expression, made a text. It holds no quotes but single ones. */
static const char *evaluate(const char *expression) {
  static char out[8192];
  send("Runtime.evaluate", "{\"expression\":\"String(%s)\",\"returnByValue\":true}", expression);
  return answer("value", out, sizeof out);
}

static double number(const char *expression) { return atof(evaluate(expression)); }

static void nap(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

/* Waits until the expression is true. */
static bool until(const char *expression) {
  for (int i = 0; i < PATIENCE_MS / 50; i++) {
    if (strcmp(evaluate(expression), "true") == 0) return true;
    nap(50);
  }
  return false;
}

static int digit_of(char c) {
  return c >= 'A' && c <= 'Z'   ? c - 'A'
         : c >= 'a' && c <= 'z' ? c - 'a' + 26
         : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+'             ? 62
         : c == '/'             ? 63
                                : -1;
}

static void picture(const char *folder, const char *name) {
  static char text[MOST_MESSAGE / 4];
  char path[512];
  nap(150); /* a frame or two */
  send("Page.captureScreenshot", "{\"format\":\"png\"}");
  answer("data", text, sizeof text);
  snprintf(path, sizeof path, "%s/%s.png", folder, name);
  FILE *out = fopen(path, "wb");
  if (out == NULL) die("%s: %s", path, strerror(errno));
  uint32_t bits = 0;
  int n = 0;
  for (const char *c = text; digit_of(*c) >= 0; c++) {
    bits = bits << 6 | (uint32_t)digit_of(*c);
    n += 6;
    if (n >= 8) putc((int)(bits >> (n -= 8) & 0xff), out);
  }
  fclose(out);
}

static void mouse(const char *type, double x, double y, int buttons, double wheel) {
  send("Input.dispatchMouseEvent",
       "{\"type\":\"%s\",\"x\":%.1f,\"y\":%.1f,\"button\":\"%s\",\"buttons\":%d,\"clickCount\":1,"
       "\"deltaX\":0,\"deltaY\":%.0f}",
       type, x, y, buttons || strcmp(type, "mouseReleased") == 0 ? "left" : "none", buttons, wheel);
}

static void key(const char *name) {
  bool text = strlen(name) == 1;
  send("Input.dispatchKeyEvent", "{\"type\":\"keyDown\",\"key\":\"%s\"%s%s%s}", name,
       text ? ",\"text\":\"" : "", text ? name : "", text ? "\"" : "");
  send("Input.dispatchKeyEvent", "{\"type\":\"keyUp\",\"key\":\"%s\"}", name);
}

/* --- what a person does --- */

#define TOP "document.getElementById('canvas').getBoundingClientRect().top"

static void open_page(const char *page, int width, int height, bool dark) {
  char id[64];
  command("Target.createTarget", "{\"url\":\"about:blank\"}");
  answer("targetId", id, sizeof id);
  send("Target.attachToTarget", "{\"targetId\":\"%s\",\"flatten\":true}", id);
  answer("sessionId", browser.session, sizeof browser.session);
  command("Page.enable", "{}");
  command("Runtime.enable", "{}");
  send("Emulation.setDeviceMetricsOverride",
       "{\"width\":%d,\"height\":%d,\"deviceScaleFactor\":1,\"mobile\":false}", width, height);
  send("Emulation.setEmulatedMedia",
       "{\"features\":[{\"name\":\"prefers-color-scheme\",\"value\":\"%s\"}]}",
       dark ? "dark" : "light");
  double load = LOAD_MS;
  /* Again when it was slow: the machine may have been busy with something else. Each load has a mark of its own to wait for. */
  for (int i = 0; i < TRIES && load >= LOAD_MS; i++) {
    char loaded[256];
    snprintf(loaded, sizeof loaded,
             "location.search === '?%d' && document.readyState === 'complete' && "
             "window.thrum !== undefined && "
             "performance.getEntriesByType('navigation')[0].loadEventEnd > 0",
             i);
    send("Page.navigate", "{\"url\":\"file://%s?%d\"}", page, i);
    if (!until(loaded)) die("the page does not load");
    load = number("performance.getEntriesByType('navigation')[0].loadEventEnd");
  }
  check(load < LOAD_MS, "%.0f ops are loaded after %.0f ms", number("thrum.data.ops"), load);
}

static void look(const char *folder) {
  picture(folder, "overview");
  check(strcmp(evaluate("document.querySelectorAll('#summary section').length >= 4"), "true") == 0,
        "the summary is there");
  check(strstr(evaluate("document.getElementById('bounds').textContent"), "critical path") != NULL,
        "with the critical path");
  check(number("document.documentElement.scrollWidth - innerWidth") <= 0,
        "nothing sticks out to the right");
  check(strcmp(evaluate("[...document.querySelectorAll('#summary section')].every(s => "
                        "s.scrollWidth <= s.clientWidth + 1)"),
               "true") == 0,
        "and no table out of its block");
}

/* The counters lie below the lanes, tell their values and can be hidden. */
static void counters(const char *folder, int width) {
  char text[1000];
  int n = atoi(evaluate("thrum.counters.length"));
  check(n >= 3, "%d counters are drawn", n);
  double lanes = number("thrum.lines.findIndex(line => line.counter)");
  check(lanes > 0, "below the lanes");
  snprintf(text, sizeof text,
           TOP " + thrum.yOf(thrum.lines.find(line => line.counter && "
               "line.counter.label === 'run-ahead')) + 8");
  mouse("mouseMoved", width * 0.6, number(text), 0, 0);
  snprintf(text, sizeof text, "%s", evaluate("document.getElementById('tip').textContent"));
  check(strstr(text, "run-ahead") == text && strstr(text, " from ") != NULL,
        "hovering tells a value: %.60s", text);
  picture(folder, "counter");
  key("k");
  check(number("thrum.lines.filter(line => line.counter).length") < 1, "k hides them");
  key("k");
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Pans at the present zoom; ms that the drawing of a frame takes. */
static double frame_time(void) {
  enum { FRAMES = 21 };
  double ms[FRAMES];
  for (int i = 0; i < FRAMES; i++) {
    key(i % 2 ? "d" : "a");
    nap(20);
    ms[i] = number("thrum.frames.last");
  }
  qsort(ms, FRAMES, sizeof *ms, compare);
  return ms[FRAMES / 2]; /* the machine may hold up some */
}

static void smooth(const char *what) {
  double best = frame_time();
  for (int i = 1; i < TRIES && best >= FRAME_MS; i++) {
    double again = frame_time();
    if (again < best) best = again;
  }
  check(best < FRAME_MS, "%s: a frame takes %.1f ms", what, best);
}

static void zoom(const char *folder, int width) {
  double before = number("thrum.view.span"), y = number(TOP) + 60;
  for (int i = 0; i < 3; i++) mouse("mouseWheel", width * 0.55, y, 0, -250);
  smooth("a third");
  for (int i = 0;
       i < 60 && number("thrum.view.span") > number("thrum.data.wall / thrum.data.ops * 40"); i++)
    mouse("mouseWheel", width * 0.55, y, 0, -250);
  check(number("thrum.view.span") < before / 3, "the wheel zooms in");
  picture(folder, "zoomed");
  double from = number("thrum.view.from");
  mouse("mousePressed", width * 0.5, y, 1, 0);
  mouse("mouseMoved", width * 0.5 - 80, y, 1, 0);
  mouse("mouseReleased", width * 0.5 - 80, y, 0, 0);
  check(number("thrum.view.from") > from, "dragging moves");
}

static void hover(const char *folder) {
  /* The longest op that waited for somebody, in a lane that is in the window. */
  char text[1000];
  int i = atoi(evaluate("[...thrum.column.begin.keys()].reduce((best, i) => "
                        "thrum.column.nAfter[i] > 0 && thrum.middleOf(i) > 0 && "
                        "thrum.middleOf(i) < thrum.view.height && (best < 0 || "
                        "thrum.end(i) - thrum.column.begin[i] > "
                        "thrum.end(best) - thrum.column.begin[best]) ? i : best, -1)"));
  check(i >= 0, "an op that waited is in the window");
  if (i < 0) return;
  /* Shown in the middle, an eighth of the window wide; the keys draw it. */
  snprintf(text, sizeof text,
           "thrum.view.span = (thrum.end(%d) - thrum.column.begin[%d]) * 8, "
           "thrum.view.from = thrum.column.begin[%d] - thrum.view.span * 7 / 16",
           i, i, i);
  (void)evaluate(text);
  key("a");
  key("d");
  snprintf(text, sizeof text, "(thrum.xOf(thrum.column.begin[%d]) + thrum.xOf(thrum.end(%d))) / 2",
           i, i);
  double x = number(text);
  snprintf(text, sizeof text, "thrum.middleOf(%d) + " TOP, i);
  mouse("mouseMoved", x, number(text), 0, 0);
  snprintf(text, sizeof text, "%s", evaluate("document.getElementById('tip').textContent"));
  check(strstr(text, "submitted") && strstr(text, "ready") && strstr(text, "started") &&
            strstr(text, "finished"),
        "hovering tells the four stamps: %.60s", text);
  check(strstr(text, "waited for") != NULL && strstr(text, "reads ") != NULL,
        "and whom it waited for");
  bool tells = atoi(evaluate("Math.max(...thrum.column.moved.slice(0, 100))")) > 0;
  check(!tells || strstr(text, "GFLOP/s") != NULL, "and its rates, if the trace knows them");
  picture(folder, "hover");
}

static void search(const char *folder) {
  key("/");
  char name[64];
  snprintf(name, sizeof name, "%.40s", evaluate("thrum.data.names[thrum.data.table[0].name]"));
  send("Input.insertText", "{\"text\":\"%s\"}", name);
  bool found = until("document.getElementById('found').textContent.includes(' found')");
  check(found, "'%s' is found: %s", name, evaluate("document.getElementById('found').textContent"));
  key("Enter");
  check(number("thrum.picked.selected") >= 0, "Enter goes to the first");
  picture(folder, "search");
  key("Escape");
}

static void others(const char *folder) {
  key("0");
  check(number("Math.abs(thrum.view.span / thrum.whole.span - 1.02)") < 0.001, "0 shows all");
  smooth("all");
  const char *before =
      strcmp(evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)") == 0
          ? "light"
          : "dark";
  key("t");
  bool dark = before[0] == 'd';
  check(until(dark ? "getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'"
                   : "getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'"),
        "t changes %s to %s", before, dark ? "light" : "dark");
  picture(folder, "other-theme");
  key("s");
  check(strcmp(evaluate("document.getElementById('summary').hidden"), "true") == 0,
        "s hides the summary");
  picture(folder, "folded");
  check(browser.exceptions == 0, "no error in the console");
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fputs("usage: browser CHROMIUM PAGE PICTURES WIDTH HEIGHT [dark]\n", stderr);
    return 2;
  }
  char profile[] = "/tmp/thrum-browser-XXXXXX", path[4096];
  if (mkdtemp(profile) == NULL || realpath(argv[2], path) == NULL)
    die("%s: %s", argv[2], strerror(errno));
  signal(SIGPIPE, SIG_IGN);
  int width = atoi(argv[4]), height = atoi(argv[5]);
  start(argv[1], profile);
  open_page(path, width, height, argc > 6);
  look(argv[3]);
  counters(argv[3], width);
  zoom(argv[3], width);
  hover(argv[3]);
  search(argv[3]);
  others(argv[3]);
  browser.session[0] = 0;
  command("Browser.close", "{}");
  waitpid(browser.pid, NULL, 0);
  char remove[100];
  snprintf(remove, sizeof remove, "rm -rf '%s'", profile);
  if (system(remove) != 0) fprintf(stderr, "browser: %s is left behind\n", profile);
  printf("%d failures\n", browser.failures);
  return browser.failures > 0;
}
