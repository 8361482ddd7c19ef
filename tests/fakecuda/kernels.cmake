# The files of kernels compiled as C++ for the host, into the library of fake kernels. See shim.h.
if(NOT TARGET fakekernels)
  add_library(fakekernels SHARED)
endif()
file(GLOB TH_FAKE_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/*/*.cu)
target_sources(fakekernels PRIVATE shim.cpp ${TH_FAKE_SOURCES})
set_source_files_properties(shim.cpp ${TH_FAKE_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS
  "-x;c++;-include;${CMAKE_CURRENT_SOURCE_DIR}/shim.h;-O1;-ffp-contract=off;-fno-strict-aliasing;-Wall;-Wextra;-Werror;-Wno-unused-parameter;-Wno-unused-function;-Wno-unknown-pragmas;-Wno-pass-failed")
set_target_properties(fakekernels PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_VISIBILITY_PRESET hidden)
target_include_directories(fakekernels PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
