# One set of warnings for both compilers; errors everywhere.
set(TH_WARNINGS -Wall -Wextra -Werror -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
    -Wdouble-promotion -Wvla -Wpointer-arith -Wno-unused-parameter)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND TH_WARNINGS -Wlogical-op)
endif()
