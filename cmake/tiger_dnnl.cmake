# DNNL::dnnl, the matrix products. Found by its header and library: the package's own file demands the headers of OpenCL,
# which nothing here uses and which Debian only recommends beside it.
find_path(DNNL_INCLUDE_DIR dnnl.h)
find_library(DNNL_LIBRARY dnnl)
if(NOT DNNL_INCLUDE_DIR OR NOT DNNL_LIBRARY)
  message(FATAL_ERROR "oneDNN is missing: install libdnnl-dev, or configure with -DTIGER_ENGINE=OFF for libtiger alone")
endif()
add_library(DNNL::dnnl UNKNOWN IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
  IMPORTED_LOCATION ${DNNL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
