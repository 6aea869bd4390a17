# cmake --install: headers, libtiger, the command, tiger.pc and find_package(tiger).
include(CMakePackageConfigHelpers)

install(TARGETS tiger EXPORT tiger_targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The engine is no library for others yet: only what libtiger itself answers is installed.
install(DIRECTORY include/tiger DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN engine EXCLUDE)
if(TARGET tiger_cli)
  install(TARGETS tiger_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(tiger_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tiger)
install(EXPORT tiger_targets NAMESPACE tiger:: FILE tiger-targets.cmake DESTINATION ${tiger_cmake_dir})
configure_package_config_file(cmake/tiger-config.cmake.in ${PROJECT_BINARY_DIR}/tiger-config.cmake
  INSTALL_DESTINATION ${tiger_cmake_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tiger-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tiger-config.cmake ${PROJECT_BINARY_DIR}/tiger-config-version.cmake
  DESTINATION ${tiger_cmake_dir})

# tiger.pc finds its prefix from where it lies, so that a moved tree still works.
file(RELATIVE_PATH tiger_pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" tiger_pc_prefix "${tiger_pc_prefix}")
# The objects inside libtiger.a call OpenMP; whoever links it must ask for it too.
set(tiger_pc_openmp ${OpenMP_C_FLAGS})
configure_file(cmake/tiger.pc.in ${PROJECT_BINARY_DIR}/tiger.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tiger.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
