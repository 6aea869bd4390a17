# What libtiger may use for dense linear algebra: oneDNN for products, LAPACKE for eigenproblems. AUTO takes what is
# there; ON demands it; OFF leaves it out, as the Python package does, whose wheels link nothing but OpenMP.
foreach(name TIGER_DNNL TIGER_LAPACK)
  set(${name} AUTO CACHE STRING "Use the library: AUTO, ON or OFF")
  set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
endforeach()
set(TIGER_DENSE_LIBRARIES "")

if(TIGER_DNNL)
  find_path(DNNL_INCLUDE_DIR dnnl.h)
  find_library(DNNL_LIBRARY dnnl)
  if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
    target_compile_definitions(tiger PRIVATE TIGER_HAVE_DNNL)
    target_include_directories(tiger PRIVATE ${DNNL_INCLUDE_DIR})
    target_link_libraries(tiger PRIVATE $<BUILD_INTERFACE:${DNNL_LIBRARY}> $<INSTALL_INTERFACE:dnnl>)
    list(APPEND TIGER_DENSE_LIBRARIES -ldnnl)
  elseif(NOT TIGER_DNNL STREQUAL "AUTO")
    message(FATAL_ERROR "oneDNN is missing: install libdnnl-dev, or configure with -DTIGER_DNNL=OFF")
  endif()
endif()

if(TIGER_LAPACK)
  find_path(LAPACKE_INCLUDE_DIR lapacke.h)
  find_library(LAPACKE_LIBRARY lapacke)
  if(LAPACKE_INCLUDE_DIR AND LAPACKE_LIBRARY)
    target_compile_definitions(tiger_flags INTERFACE TIGER_HAVE_LAPACK) # the table of rules knows too
    target_include_directories(tiger PRIVATE ${LAPACKE_INCLUDE_DIR})
    target_link_libraries(tiger PRIVATE $<BUILD_INTERFACE:${LAPACKE_LIBRARY}> $<INSTALL_INTERFACE:lapacke>)
    list(APPEND TIGER_DENSE_LIBRARIES -llapacke)
  elseif(NOT TIGER_LAPACK STREQUAL "AUTO")
    message(FATAL_ERROR "LAPACKE is missing: install liblapacke-dev and libopenblas-openmp-dev, or configure with "
                        "-DTIGER_LAPACK=OFF")
  else()
    message(STATUS "LAPACKE is missing (liblapacke-dev, libopenblas-openmp-dev): built without rules that need "
                   "eigenvectors")
  endif()
endif()
string(REPLACE ";" " " TIGER_DENSE_LIBRARIES "${TIGER_DENSE_LIBRARIES}")
