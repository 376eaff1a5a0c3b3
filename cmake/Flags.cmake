# SPDX-License-Identifier: Apache-2.0
# One interface target carries the flags of our own code; errors from warnings only in our presets.
include(CheckCCompilerFlag)
add_library(sallyport_flags INTERFACE)
target_compile_definitions(sallyport_flags INTERFACE _GNU_SOURCE SALLYPORT_VERSION="${PROJECT_VERSION}")
target_compile_options(sallyport_flags INTERFACE -fno-common -fno-strict-overflow)

set(_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wwrite-strings -Wformat=2
    -Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND _warnings -Wduplicated-cond -Wduplicated-branches -Wlogical-op)
endif()
target_compile_options(sallyport_flags INTERFACE "$<$<COMPILE_LANGUAGE:C>:${_warnings}>")
if(SALLYPORT_WERROR)
    target_compile_options(sallyport_flags INTERFACE "$<$<COMPILE_LANGUAGE:C>:-Werror>")
endif()

if(SALLYPORT_SANITIZE)
    target_compile_options(sallyport_flags INTERFACE -fsanitize=${SALLYPORT_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    target_link_options(sallyport_flags INTERFACE -fsanitize=${SALLYPORT_SANITIZE})
endif()

if(SALLYPORT_SANITIZE STREQUAL "thread")
    add_library(sallyport_tsan OBJECT "${PROJECT_SOURCE_DIR}/tests/support/tsan_openat.c")
    target_compile_options(sallyport_tsan PRIVATE -fsanitize=thread)
    target_compile_definitions(sallyport_tsan PRIVATE _GNU_SOURCE)
    target_link_options(sallyport_flags INTERFACE -Wl,--wrap=openat)
    target_link_libraries(sallyport_flags INTERFACE "$<TARGET_OBJECTS:sallyport_tsan>")
endif()

if(SALLYPORT_COVERAGE)
    # Threads count as well, and so do processes that end by _exit().
    target_compile_options(sallyport_flags INTERFACE --coverage -fprofile-update=atomic)
    add_library(sallyport_coverage OBJECT "${PROJECT_SOURCE_DIR}/tests/support/coverage_exit.c")
    target_link_options(sallyport_flags INTERFACE --coverage -Wl,--wrap=_exit)
    target_link_libraries(sallyport_flags INTERFACE "$<TARGET_OBJECTS:sallyport_coverage>")
endif()

if(SALLYPORT_FUZZ)
    target_compile_options(sallyport_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(sallyport_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(SALLYPORT_HARDEN)
    # Asserts stay on: NDEBUG is never defined, base/assert.h does not look at it.
    foreach(_flag -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero)
        string(MAKE_C_IDENTIFIER "HAVE${_flag}" _have)
        check_c_compiler_flag("-Werror ${_flag}" ${_have})
        if(${_have})
            target_compile_options(sallyport_flags INTERFACE "$<$<COMPILE_LANGUAGE:C>:${_flag}>")
        endif()
    endforeach()
    # Where it was built is not part of it: two builds are the same bytes.
    set(_places "-ffile-prefix-map=${PROJECT_BINARY_DIR}=build" "-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.")
    target_compile_options(sallyport_flags INTERFACE ${_places})
    target_link_options(sallyport_flags INTERFACE ${_places}) # code is made at the link, too
    target_compile_options(sallyport_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    target_link_options(sallyport_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
