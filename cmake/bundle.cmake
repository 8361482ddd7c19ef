# TH_BUNDLE, the preset of ./run bundle: a folder that runs on a machine with glibc and nothing else of this one's, wherever it is
# put. Included first of all, because it decides where things are looked for; th_bundle() adds programs, th_bundle_finish()
# what they need. Only the component "bundle" is installed.
#
#   lib    the library, the same with its inner functions visible (for tests), and what both need
#   fake   the fake driver and its kernels: apart, so that its libcublas.so.13 is never taken for NVIDIA's
#   tests, bench, demos, gpu-check
option(TH_BUNDLE "Make tests, benchmarks and demos that can be moved to another machine: ./run bundle" OFF)
if(TH_BUNDLE)
  set(CMAKE_INSTALL_LIBDIR lib) # before GNUInstallDirs, which would take Debian's folder of the architecture
  # DT_RPATH, because DT_RUNPATH does not hold for what a library's own needs. Code and constants share pages, which spares each of
  # the many small programs 8 KB.
  set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib")
  add_link_options(-Wl,--disable-new-dtags -Wl,--as-needed -Wl,-z,noseparate-code)
endif()

# th_bundle(FOLDER TARGET...): programs or libraries that go into a folder of the bundle.
function(th_bundle folder)
  if(NOT TH_BUNDLE)
    return()
  endif()
  install(TARGETS ${ARGN} RUNTIME_DEPENDENCY_SET bundle RUNTIME DESTINATION ${folder} COMPONENT bundle
          LIBRARY DESTINATION ${folder} COMPONENT bundle NAMELINK_SKIP)
endfunction()

# What glibc and the driver bring is the other machine's; our own libraries are there already.
function(th_bundle_finish)
  if(NOT TH_BUNDLE)
    return()
  endif()
  install(RUNTIME_DEPENDENCY_SET bundle
          PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|resolv|util)\\.so" "^lib(cuda|nv|cu)" "^lib(thrum|fake)"
          LIBRARY DESTINATION lib COMPONENT bundle)
  install(PROGRAMS tests/gpu/gpu-check DESTINATION . COMPONENT bundle)
  install(FILES bench/cuda_torch.py DESTINATION bench COMPONENT bundle)
endfunction()
