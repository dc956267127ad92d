# Finds MNN in any of the forms that it comes in, and defines the target MNN::MNN:
#
#   MNN_ROOT=PREFIX     an install prefix: include/ and lib/
#   MNN_ROOT=RELEASE    an unpacked release of libraries, such as mnn_3.6.1_android_...: arm64-v8a/libMNN.so and
#                       libMNN_Express.so beside it. Releases have no headers: MNN_INCLUDE is include/ of the source
#                       release of the same version.
#   MNN_ROOT=SOURCE     MNN's source, which is then built with this project
#
# MNN_FOUND says whether there is one, MNN_HAS_LLM whether it has MNN's LLM part.
include(FindPackageHandleStandardArgs)

set(MNN_INCLUDE "" CACHE PATH "include/ of MNN's source release, where MNN_ROOT has no headers")

if(EXISTS "${MNN_ROOT}/source/core/Interpreter.cpp" AND EXISTS "${MNN_ROOT}/CMakeLists.txt")
  set(MNN_SEP_BUILD OFF CACHE BOOL "")
  set(MNN_BUILD_TOOLS OFF CACHE BOOL "")
  set(MNN_LOW_MEMORY ON CACHE BOOL "")
  add_subdirectory("${MNN_ROOT}" MNN EXCLUDE_FROM_ALL)
  add_library(MNN_all INTERFACE)
  target_include_directories(MNN_all SYSTEM INTERFACE "${MNN_ROOT}/include")
  target_link_libraries(MNN_all INTERFACE MNN)
  if(MNN_BUILD_LLM)
    target_include_directories(MNN_all SYSTEM INTERFACE "${MNN_ROOT}/transformers/llm/engine/include")
    set(MNN_HAS_LLM TRUE)
    if(TARGET llm)
      target_link_libraries(MNN_all INTERFACE llm)
    endif()
  endif()
  add_library(MNN::MNN ALIAS MNN_all)
  set(MNN_FOUND TRUE)
  return()
endif()

set(_places "${MNN_ROOT}/lib" "${MNN_ROOT}" "${MNN_ROOT}/lib64")
if(ANDROID_ABI)
  list(PREPEND _places "${MNN_ROOT}/${ANDROID_ABI}" "${MNN_ROOT}/lib/${ANDROID_ABI}" "${MNN_ROOT}/libs/${ANDROID_ABI}")
endif()
set(_only NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
find_library(MNN_LIBRARY NAMES MNN PATHS ${_places} ${_only})
find_library(MNN_EXPRESS_LIBRARY NAMES MNN_Express PATHS ${_places} ${_only})  # files of their own where
find_library(MNN_LLM_LIBRARY NAMES llm PATHS ${_places} ${_only})              # MNN_SEP_BUILD is on
find_path(MNN_INCLUDE_DIR MNN/Interpreter.hpp PATHS "${MNN_INCLUDE}" "${MNN_ROOT}/include" "${MNN_ROOT}" ${_only})
find_path(MNN_LLM_INCLUDE_DIR llm/llm.hpp ${_only} PATHS
          "${MNN_INCLUDE_DIR}" "${MNN_INCLUDE_DIR}/../transformers/llm/engine/include")

find_package_handle_standard_args(MNN REQUIRED_VARS MNN_LIBRARY MNN_INCLUDE_DIR REASON_FAILURE_MESSAGE
  "MNN_ROOT=${MNN_ROOT} has no libMNN or no headers (MNN/Interpreter.hpp). Where it is a release of libraries, pass \
-DMNN_INCLUDE=.../include of MNN's source release of the same version.")
if(MNN_FOUND AND NOT TARGET MNN::MNN)
  add_library(MNN::MNN UNKNOWN IMPORTED)
  set_target_properties(MNN::MNN PROPERTIES IMPORTED_LOCATION "${MNN_LIBRARY}")
  target_include_directories(MNN::MNN SYSTEM INTERFACE "${MNN_INCLUDE_DIR}")
  if(MNN_EXPRESS_LIBRARY)
    target_link_libraries(MNN::MNN INTERFACE "${MNN_EXPRESS_LIBRARY}")
  endif()
  if(MNN_LLM_INCLUDE_DIR)
    target_include_directories(MNN::MNN SYSTEM INTERFACE "${MNN_LLM_INCLUDE_DIR}")
    if(MNN_LLM_LIBRARY)
      target_link_libraries(MNN::MNN INTERFACE "${MNN_LLM_LIBRARY}")
    endif()
    set(MNN_HAS_LLM TRUE)
  endif()
endif()
