# SPDX-License-Identifier: Apache-2.0
# cmake --install, and the Debian package: cpack -G DEB in the build tree (tools/package does both).
include(GNUInstallDirs)
set(_pages "")
find_program(PYTHON3 NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(PYTHON3 NAMES python3)
if(PYTHON3)
    # The pages say what the programs say of themselves, so they are made when the programs are. "all" leaves them out of
    # builds that only test: a sanitizer would be run a hundred times for its --help.
    set(_pages sallyport.1 sallyport-relay.1 sallyport-policy.5 sallyport-config.5)
    list(TRANSFORM _pages PREPEND "${CMAKE_BINARY_DIR}/man/")
    list(TRANSFORM _pages APPEND ".gz")
    add_custom_command(OUTPUT ${_pages}
        COMMAND "${PYTHON3}" -B "${PROJECT_SOURCE_DIR}/tools/man" "$<TARGET_FILE:sallyport>"
            "$<TARGET_FILE:sallyport-relay>" "${CMAKE_BINARY_DIR}/man"
        DEPENDS sallyport sallyport-relay "${PROJECT_SOURCE_DIR}/tools/man"
            "${PROJECT_SOURCE_DIR}/policies/invoice-env.yaml" "${PROJECT_SOURCE_DIR}/policies/gateway.yaml"
        VERBATIM)
    if(SALLYPORT_SANITIZE OR SALLYPORT_FUZZ OR SALLYPORT_COVERAGE)
        add_custom_target(man DEPENDS ${_pages})
    else()
        add_custom_target(man ALL DEPENDS ${_pages})
    endif()
endif()

install(TARGETS sallyport sallyport-relay RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
foreach(section 1 5)
    set(_of ${_pages})
    list(FILTER _of INCLUDE REGEX "\\.${section}\\.gz$")
    install(FILES ${_of} DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}" OPTIONAL)
endforeach()
install(FILES packaging/completion/sallyport.bash DESTINATION share/bash-completion/completions RENAME sallyport)
install(FILES packaging/systemd/sallyport.sysusers DESTINATION lib/sysusers.d RENAME sallyport.conf)
install(FILES packaging/systemd/sallyport.tmpfiles DESTINATION lib/tmpfiles.d RENAME sallyport.conf)
install(FILES packaging/debian/copyright README.md docs/policy.md docs/gateway.md docs/audit.md docs/threats.md
    DESTINATION share/doc/sallyport)
install(DIRECTORY policies/ DESTINATION share/doc/sallyport/policies FILES_MATCHING PATTERN "*.yaml" PATTERN "*.txt")
install(FILES docs/environment.schema.json DESTINATION share/sallyport)
install(PROGRAMS packaging/spawn/spawn.sh DESTINATION share/sallyport)
# What depends on the prefix, which may be given as late as at the installation.
install(CODE "set(SOURCE \"${PROJECT_SOURCE_DIR}\")")
install(SCRIPT cmake/InstallService.cmake)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sallyport)
set(CPACK_PACKAGE_VENDOR Sallyport)
set(CPACK_PACKAGE_CONTACT "Sallyport <sallyport@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "egress-filtering forward proxy with a provable audit log")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "egress-filtering forward proxy with a provable audit log
 Stands between sandboxes that run agents and the network: decides each outbound
 attempt by a policy, compares the TLS server name with the name that was asked
 for, checks every address before it is dialled, and writes a record of every
 attempt that cannot be quietly changed.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Loaded when a log is shipped over HTTPS, so that no linker names it.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libcurl4)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "bubblewrap, systemd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(_file conffiles postinst prerm postrm)
    list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/packaging/debian/${_file}")
endforeach()
include(CPack)
