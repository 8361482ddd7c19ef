# What `cmake --install` puts in place: headers, both libraries, thrum.pc and the CMake package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(TH_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/thrum)

install(DIRECTORY include/thrum DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS thrum thrum_static EXPORT thrum-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT thrum-targets NAMESPACE Thrum:: DESTINATION ${TH_PACKAGE_DIR})

configure_package_config_file(cmake/thrum-config.cmake.in ${CMAKE_BINARY_DIR}/thrum-config.cmake
                              INSTALL_DESTINATION ${TH_PACKAGE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/thrum-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/thrum-config.cmake ${CMAKE_BINARY_DIR}/thrum-config-version.cmake
        DESTINATION ${TH_PACKAGE_DIR})

# ${pcfiledir} keeps the installed tree movable (cmake --install --prefix).
file(RELATIVE_PATH TH_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
string(JOIN " " TH_PC_BLAS ${BLAS_LDFLAGS})
configure_file(cmake/thrum.pc.in ${CMAKE_BINARY_DIR}/thrum.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/thrum.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
