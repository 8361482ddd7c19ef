/* How fast is cuda:0, as a program sees it? The goals of docs/gpu-results.md that the public interface can show, each measured in a
 * process of its own; cuda_torch.py beside this measures the same with PyTorch. Where there is no GPU it says why and measures
 * nothing. On the fake driver of the tests everything is labelled fake: such numbers say nothing about a GPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cuda_cases.h"
#include "common/cuda_goals.h"

static const cuda_sizes full = {.chain = 4000,
                                .independent = 10000,
                                .steps = 20,
                                .n = 16384,
                                .elements = INT64_C(1) << 28,
                                .copied = INT64_C(1) << 30,
                                .medium = 200e-6,
                                .samples = 21};
/* Enough to see that it works, also with the memory of the fake driver. */
static const cuda_sizes small = {.chain = 200,
                                 .independent = 300,
                                 .steps = 2,
                                 .n = 64,
                                 .elements = 1 << 18,
                                 .copied = 1 << 22,
                                 .medium = 200e-6,
                                 .samples = 3};

typedef struct settings {
  bool json, help, whole; /* whole: the sizes that the goals are of */
  const char *only, *impl, *goals;
  cuda_sizes sizes;
} settings;

static bool has_goal(const settings *s, const cuda_case *c) {
  return c->goal > 0 && s->whole && strcmp(s->impl, "thrum") == 0;
}

static void print_json(const settings *s, const cuda_case *c, const cuda_outcome *o) {
  printf("{\"bench\":\"cuda\",\"case\":\"%s\",\"impl\":\"%s\",\"value\":%.4g,\"unit\":\"%s\","
         "\"min\":%.4g,\"max\":%.4g",
         c->name, s->impl, o->value.median, c->unit, o->value.min, o->value.max);
  for (int i = 0; i < CUDA_EXTRAS && o->extra[i].name[0]; i++)
    printf(",\"%s\":%.6g", o->extra[i].name, o->extra[i].value);
  if (has_goal(s, c)) printf(",\"goal\":%g", c->goal);
  puts("}");
}

static void print_row(const settings *s, const cuda_case *c, const cuda_outcome *o) {
  printf("%-14s %-12s %10.4g %-3s %9.4g..%-9.4g %s", c->name, s->impl, o->value.median, c->unit,
         o->value.min, o->value.max, c->what);
  for (int i = 0; i < CUDA_EXTRAS && o->extra[i].name[0]; i++)
    printf("; %s %.6g", o->extra[i].name, o->extra[i].value);
  bool met = c->least ? o->value.median >= c->goal : o->value.median <= c->goal;
  if (has_goal(s, c))
    printf("; goal on an H200 %s %g: %s", c->least ? ">=" : "<=", c->goal, met ? "met" : "missed");
  putchar('\n');
}

static bool run(const settings *s, const cuda_case *c) {
  cuda_question q = {c, s->sizes};
  cuda_outcome o = {.error = ""};
  bool lived = bench_in_child(cuda_run, &q, &o, sizeof o);
  if (!lived || o.error[0]) {
    printf("%s: FAILED: %s\n", c->name, lived ? o.error : "the process ended early");
    return false;
  }
  s->json ? print_json(s, c, &o) : print_row(s, c, &o);
  fflush(stdout);
  return true;
}

static void print_help(void) {
  puts("usage: cuda [--json] [--case NAME] [--goals FILE] [--small] [--n N] [--samples S]\n\n"
       "  --json       one line of JSON per case\n"
       "  --case NAME  only this one\n"
       "  --goals FILE measures nothing: the goals beside what FILE has of Thrum and PyTorch, as "
       "JSON\n"
       "  --small      sizes that only show that it works\n"
       "  --n N        rows of the products' matrices, default 16384\n"
       "  --samples S  per case, default 21\n\ncases:");
  for (int i = 0; i < cuda_n_cases; i++)
    printf("  %-14s %s, %s\n", cuda_cases[i].name, cuda_cases[i].unit, cuda_cases[i].what);
}

static bool parse(int argc, char **argv, settings *s) {
  for (int i = 1; i < argc; i++) {
    bool more = i + 1 < argc;
    if (strcmp(argv[i], "--json") == 0) {
      s->json = true;
    } else if (strcmp(argv[i], "--help") == 0) {
      s->help = true;
    } else if (strcmp(argv[i], "--small") == 0) {
      s->whole = false;
      s->sizes = small;
    } else if (more && strcmp(argv[i], "--case") == 0) {
      s->only = argv[++i];
    } else if (more && strcmp(argv[i], "--goals") == 0) {
      s->goals = argv[++i];
    } else if (more && strcmp(argv[i], "--n") == 0) {
      s->whole = false;
      s->sizes.n = atoll(argv[++i]);
    } else if (more && strcmp(argv[i], "--samples") == 0) {
      s->sizes.samples = atoi(argv[++i]);
    } else {
      return false;
    }
  }
  return s->sizes.n > 0 && s->sizes.samples > 0 && s->sizes.samples <= CUDA_SAMPLES;
}

int main(int argc, char **argv) {
  settings s = {.impl = "thrum", .sizes = full, .whole = true};
  if (!parse(argc, argv, &s)) {
    fputs("cuda: wrong option; try --help\n", stderr);
    return 2;
  }
  if (s.help) {
    print_help();
    return 0;
  }
  if (s.goals) return cuda_goals_print(s.goals) ? 0 : 2;
  const char *library = getenv("TH_LIBCUDA");
  if (library && strstr(library, "fakecuda")) s.impl = "thrum (fake)";
  cuda_presence there = {0};
  if (!bench_in_child(cuda_look, NULL, &there, sizeof there) || there.devices < 1) {
    printf("cuda: no GPU to measure: %s\n", there.why[0] ? there.why : "the look at it failed");
    return 77; /* skipped, as in tests */
  }
  bool good = true, any = false;
  for (int i = 0; i < cuda_n_cases; i++) {
    if (s.only && strcmp(s.only, cuda_cases[i].name) != 0) continue;
    any = true;
    good &= run(&s, &cuda_cases[i]);
  }
  if (!any) fprintf(stderr, "cuda: there is no case '%s'; try --help\n", s.only);
  return good && any ? 0 : 1;
}
