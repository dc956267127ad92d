# Sets MINNOW_SQLITE_TARGET to a target of SQLite with FTS5, as MINNOW_SQLITE says:
#
#   auto     the system's where a program that uses FTS5 runs with it, else `fetch`
#   system   the system's, unchecked
#   fetch    the amalgamation of sqlite.org, downloaded once and compiled in
#   FOLDER   the same, unpacked: sqlite3.c and sqlite3.h
#   off      none: no search and no memories
#
# Android's own SQLite has no headers for apps and may lack FTS5, and iOS's may differ from version to version: both
# fetch.
set(MINNOW_SQLITE_TARGET "")
set(_source "${MINNOW_SQLITE}")

if(MINNOW_SQLITE MATCHES "^(auto|system)$" AND NOT ANDROID AND NOT IOS)
  find_package(SQLite3)
  set(_works ${SQLite3_FOUND})
  if(SQLite3_FOUND AND MINNOW_SQLITE STREQUAL "auto" AND NOT CMAKE_CROSSCOMPILING)
    include(CheckCSourceRuns)
    set(CMAKE_REQUIRED_LIBRARIES SQLite::SQLite3)
    check_c_source_runs("#include <sqlite3.h>
      int main(void) {
        sqlite3* database;
        return sqlite3_open(\":memory:\", &database) ||
               sqlite3_exec(database, \"CREATE VIRTUAL TABLE t USING fts5(x)\", 0, 0, 0);
      }" MINNOW_SYSTEM_SQLITE_HAS_FTS5)
    unset(CMAKE_REQUIRED_LIBRARIES)
    set(_works ${MINNOW_SYSTEM_SQLITE_HAS_FTS5})
  endif()
  if(_works)
    set(MINNOW_SQLITE_TARGET SQLite::SQLite3)
    message(STATUS "SQLite: the system's ${SQLite3_VERSION}, with FTS5")
  endif()
endif()

if(NOT MINNOW_SQLITE_TARGET AND MINNOW_SQLITE MATCHES "^(auto|fetch)$")
  set(MINNOW_SQLITE_URL "https://sqlite.org/2025/sqlite-amalgamation-3500400.zip" CACHE STRING "SQLite's amalgamation")
  set(MINNOW_SQLITE_HASH "" CACHE STRING "Its hash, such as SHA3_256=...: sqlite.org/download.html states it")
  message(STATUS "SQLite: fetching ${MINNOW_SQLITE_URL}")
  include(FetchContent)
  if(MINNOW_SQLITE_HASH)
    FetchContent_Declare(sqlite URL "${MINNOW_SQLITE_URL}" URL_HASH ${MINNOW_SQLITE_HASH})
  else()
    FetchContent_Declare(sqlite URL "${MINNOW_SQLITE_URL}")
  endif()
  FetchContent_MakeAvailable(sqlite)
  set(_source "${sqlite_SOURCE_DIR}")
endif()

if(NOT MINNOW_SQLITE_TARGET AND EXISTS "${_source}/sqlite3.c")
  add_library(minnow_sqlite STATIC "${_source}/sqlite3.c")
  target_include_directories(minnow_sqlite SYSTEM PUBLIC "${_source}")
  target_compile_definitions(minnow_sqlite PRIVATE SQLITE_ENABLE_FTS5 SQLITE_THREADSAFE=2 SQLITE_DQS=0
    SQLITE_DEFAULT_WAL_SYNCHRONOUS=1 SQLITE_OMIT_LOAD_EXTENSION SQLITE_OMIT_DEPRECATED)
  set(MINNOW_SQLITE_TARGET minnow_sqlite)
  message(STATUS "SQLite: ${_source}, compiled in with FTS5")
elseif(NOT MINNOW_SQLITE_TARGET AND NOT MINNOW_SQLITE STREQUAL "off")
  message(FATAL_ERROR "MINNOW_SQLITE=${MINNOW_SQLITE} gives no SQLite: it should be auto, system, fetch, off, or a folder with sqlite3.c.")
endif()
