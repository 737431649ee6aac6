# The three functions that a folder's CMakeLists.txt is written with.
#
# Example: wal/CMakeLists.txt, a folder with a pure core/ inside.
#
#   twofold_library(wal_core                      # target twofold_wal_core, alias twofold::wal_core
#       SOURCES core/frame.cc core/segment_name.cc
#       HEADERS core/frame.h core/segment_name.h  # included as "wal/core/frame.h"; each must compile alone
#       DEPS base)                                # our own libraries, by their short names; inherited by users
#
#   twofold_library(wal
#       SOURCES posix_file.cc writer.cc reader.cc
#       HEADERS file.h posix_file.h writer.h reader.h
#       DEPS wal_core base
#       LINK_SYSTEM Threads::Threads)             # other people's libraries that only the .cc files include
#
#   twofold_test(wal                              # binary twofold_wal_test, tests named wal.<Suite>.<Test>
#       SOURCES core/frame_test.cc reader_test.cc writer_test.cc
#       DEPS wal
#       LABEL unit                                # unit, sim or integration
#       TIMEOUT 60)                               # seconds for each test; 60 when absent
#
# Other arguments:
#   twofold_library     LINK_SYSTEM_PUBLIC ...  other people's libraries that our headers include too
#   twofold_executable  twofold_executable(twofold-demo SOURCES demo.cc DEPS integration RUNTIME_DEPS twofold)
#                       The name is the name of the program in build/<preset>/bin.
#   RUNTIME_DEPS ...    (executable, test) programs that must be built too because this one starts them
#   DEFINITIONS ...     (all three) compile definitions private to the target
#   PROPERTIES ...      (test) more ctest properties, for example PROPERTIES RUN_SERIAL ON or RESOURCE_LOCK postgres
#
# A library without SOURCES is header-only. Tests are linked with GoogleTest, GoogleMock and their main; they run in the
# repository's root folder, and find other programs of ours beside their own binary.
include_guard(GLOBAL)
include(GoogleTest)

# Links `target` with our libraries named in DEPS. An unknown name is an error when CMake generates.
function(_twofold_link_deps target scope)
    foreach(dep IN LISTS ARGN)
        target_link_libraries(${target} ${scope} "twofold::${dep}")
    endforeach()
endfunction()

function(_twofold_reject_unparsed function_name target)
    if(ARGN)
        message(FATAL_ERROR "${function_name}(${target}): arguments not understood: ${ARGN}")
    endif()
endfunction()

function(twofold_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;DEPS;LINK_SYSTEM;LINK_SYSTEM_PUBLIC;DEFINITIONS")
    _twofold_reject_unparsed(twofold_library ${name} ${arg_UNPARSED_ARGUMENTS})
    set(target "twofold_${name}")
    if(arg_SOURCES)
        set(scope PUBLIC)
        add_library(${target} STATIC ${arg_SOURCES})
        target_link_libraries(${target} PRIVATE twofold_warnings ${arg_LINK_SYSTEM})
        target_compile_definitions(${target} PRIVATE ${arg_DEFINITIONS})
    else()
        set(scope INTERFACE)
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE ${arg_LINK_SYSTEM})
    endif()
    add_library("twofold::${name}" ALIAS ${target})
    target_compile_features(${target} ${scope} cxx_std_20)
    target_include_directories(${target} ${scope} "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
    target_sources(${target} ${scope} FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${arg_HEADERS})
    target_link_libraries(${target} ${scope} ${arg_LINK_SYSTEM_PUBLIC})
    _twofold_link_deps(${target} ${scope} ${arg_DEPS})
endfunction()

# What twofold_executable and twofold_test share.
macro(_twofold_program target)
    add_executable(${target} ${arg_SOURCES})
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
    target_compile_definitions(${target} PRIVATE ${arg_DEFINITIONS})
    target_link_libraries(${target} PRIVATE twofold_warnings ${arg_LINK_SYSTEM})
    _twofold_link_deps(${target} PRIVATE ${arg_DEPS})
    if(arg_RUNTIME_DEPS)
        add_dependencies(${target} ${arg_RUNTIME_DEPS})
    endif()
endmacro()

function(twofold_executable name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;LINK_SYSTEM;RUNTIME_DEPS;DEFINITIONS")
    _twofold_reject_unparsed(twofold_executable ${name} ${arg_UNPARSED_ARGUMENTS})
    _twofold_program(${name})
endfunction()

function(twofold_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;TIMEOUT"
        "SOURCES;DEPS;LINK_SYSTEM;RUNTIME_DEPS;DEFINITIONS;PROPERTIES")
    _twofold_reject_unparsed(twofold_test ${name} ${arg_UNPARSED_ARGUMENTS})
    if(NOT arg_LABEL MATCHES "^(unit|sim|integration)$")
        message(FATAL_ERROR "twofold_test(${name}): LABEL must be unit, sim or integration, not '${arg_LABEL}'")
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    list(APPEND arg_LINK_SYSTEM GTest::gmock_main)
    set(target "twofold_${name}_test")
    _twofold_program(${target})
    gtest_discover_tests(${target}
        TEST_PREFIX "${name}."
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
        DISCOVERY_MODE PRE_TEST
        DISCOVERY_TIMEOUT 60
        PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ${arg_PROPERTIES})
endfunction()
