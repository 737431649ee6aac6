# Language level, output folders and flags. Presets choose among the options below; nothing here names a folder of ours.
include_guard(GLOBAL)
include(CheckCXXCompilerFlag)
include(CheckLinkerFlag)
include(CheckPIESupported)

option(TWOFOLD_CRASH_POINTS "Compile the named crash points in (never in a release)" OFF)
option(TWOFOLD_HARDEN "Hardening flags: full RELRO, stack protector, FORTIFY" OFF)
option(TWOFOLD_FUZZ "Programs of fuzz/ are linked with libFuzzer; TWOFOLD_SANITIZE needs fuzzer-no-link" OFF)
option(TWOFOLD_WARNINGS_AS_ERRORS "Warnings in our own targets are errors" ON)
set(TWOFOLD_SANITIZE "" CACHE STRING "Value for -fsanitize, for example address,undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

# Position-independent executables in every lane, so that the lanes differ as little as possible.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
check_pie_supported(LANGUAGES CXX)

# Assertions stay on in every build type: no NDEBUG anywhere.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
add_compile_definitions(_GLIBCXX_ASSERTIONS)

# Every file of a build sees the same answer, or inline functions would differ between files.
if(TWOFOLD_CRASH_POINTS)
    add_compile_definitions(TWOFOLD_CRASH_POINTS)
endif()

# Paths in the binaries are relative to the repository: builds are the same wherever the clone is. ccache hands the
# compiler paths that are relative to the build directory, hence the second one.
file(RELATIVE_PATH twofold_up "${PROJECT_BINARY_DIR}" "${PROJECT_SOURCE_DIR}")
add_compile_options("-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=" "-ffile-prefix-map=${twofold_up}=")

# ccache if it is there. The base directory lets clones in different places share results.
find_program(TWOFOLD_CCACHE ccache)
if(TWOFOLD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        env
        "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}"
        "${TWOFOLD_CCACHE}")
endif()

# clang finds the lld of its own version; with g++ the system linker is used.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    check_linker_flag(CXX "-fuse-ld=lld" TWOFOLD_HAVE_LLD)
    if(TWOFOLD_HAVE_LLD)
        add_link_options(-fuse-ld=lld)
    endif()
endif()

if(TWOFOLD_SANITIZE)
    add_compile_options("-fsanitize=${TWOFOLD_SANITIZE}" -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options("-fsanitize=${TWOFOLD_SANITIZE}")
    if(TWOFOLD_SANITIZE MATCHES "undefined")
        # A null dereference already stops under ASan. vptr is expensive to compile and needs all type information.
        add_compile_options(-fno-sanitize=null,vptr)
    endif()
endif()

if(TWOFOLD_HARDEN)
    add_compile_options(-fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    check_cxx_compiler_flag(-fcf-protection=full TWOFOLD_HAVE_CF_PROTECTION)
    if(TWOFOLD_HAVE_CF_PROTECTION)
        add_compile_options(-fcf-protection=full)
    endif()
    add_link_options(LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()

# Strict warnings for our own targets only; twofold_library and its sisters link this privately.
add_library(twofold_warnings INTERFACE)
target_compile_options(twofold_warnings INTERFACE
    -Wall
    -Wextra
    -Wpedantic
    -Wconversion
    -Wno-sign-conversion             # int results of libpq and sizes of spans meet everywhere; narrowing stays an error
    -Wno-missing-field-initializers  # option structs are filled by name and rely on their defaults
    -Wcast-qual
    -Wextra-semi
    -Wimplicit-fallthrough
    -Wnon-virtual-dtor
    -Wold-style-cast
    -Woverloaded-virtual
    -Wunused-result
    -Wvla)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(twofold_warnings INTERFACE
        -Wshadow
        -Wthread-safety
        -Wcomma
        -Wloop-analysis
        -Wunreachable-code)
else()
    target_compile_options(twofold_warnings INTERFACE
        -Wshadow=compatible-local        # plain -Wshadow of g++ also refuses parameters named like members of a struct
        -Wduplicated-cond
        -Wlogical-op
        -Wno-error=array-bounds          # g++ 12 reports these falsely in the standard library when it optimises
        -Wno-error=maybe-uninitialized
        -Wno-error=restrict
        -Wno-error=stringop-overflow)
endif()
if(TWOFOLD_WARNINGS_AS_ERRORS)
    target_compile_options(twofold_warnings INTERFACE -Werror)
endif()
