/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_env_tbl: the variables that make real programs use the proxy, one row each, for `sallyport env` and for
 * `sallyport-relay --env`.
 *
 * X(kind, name, value, who, why)
 *   kind   ROUTE: the way to the proxy; CA: which authorities to trust, where the proxy inspects TLS
 *   value  {url} {host} {port}: the proxy, host without brackets; {ca}: the file of --ca; {bundle}: that file, or the
 *          file that --write-files made of it and the system's own authorities
 *   who    the programs that read it
 *   why    what would go wrong without it
 */
/* clang-format off */
X(ROUTE, "HTTP_PROXY", "{url}", "pip, httpx, Go, npm, Ruby, Claude Code",
  "plain HTTP goes to the proxy in absolute form")
X(ROUTE, "http_proxy", "{url}", "curl, wget, apt, Chromium",
  "curl reads this name in lower case alone")
X(ROUTE, "HTTPS_PROXY", "{url}", "git, cargo, pip, httpx, Go, npm, pnpm, Claude Code",
  "HTTPS goes through CONNECT")
X(ROUTE, "https_proxy", "{url}", "wget, apt, gRPC, Ruby",
  "some programs read the lower case alone")
X(ROUTE, "NO_PROXY", "localhost,127.0.0.1,::1", "all that read HTTP_PROXY",
  "the sandbox itself alone: a private range here would be tried on a way that does not exist")
X(ROUTE, "no_proxy", "localhost,127.0.0.1,::1", "curl, wget, Ruby, gRPC",
  "some programs read the lower case alone")
X(ROUTE, "NODE_USE_ENV_PROXY", "1", "Node.js 22.21, 24 and later",
  "fetch() and https of Node ignore the variables above unless told")
X(ROUTE, "YARN_HTTP_PROXY", "{url}", "yarn 2 and later",
  "reads no other name")
X(ROUTE, "YARN_HTTPS_PROXY", "{url}", "yarn 2 and later",
  "reads no other name")
X(ROUTE, "JAVA_TOOL_OPTIONS",
  "-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} "
  "-Dhttp.nonProxyHosts=localhost|127.*|[::1]", "every JVM: Maven, Gradle, sbt",
  "a JVM reads system properties and no proxy variable")

X(CA, "SSL_CERT_FILE", "{bundle}", "curl, Python ssl, httpx, aiohttp, Go, Ruby, cargo, uv",
  "replaces the system's authorities, so it names a file that holds these as well")
X(CA, "SSL_CERT_DIR", "", "the same",
  "a folder that was set before would be used in place of SSL_CERT_FILE")
X(CA, "CURL_CA_BUNDLE", "{bundle}", "curl, requests",
  "curl prefers it to SSL_CERT_FILE")
X(CA, "GIT_SSL_CAINFO", "{bundle}", "git",
  "git with GnuTLS reads nothing else")
X(CA, "REQUESTS_CA_BUNDLE", "{bundle}", "requests, pip",
  "requests brings authorities of its own")
X(CA, "PIP_CERT", "{bundle}", "pip",
  "pip brings authorities of its own")
X(CA, "NODE_EXTRA_CA_CERTS", "{ca}", "Node.js, Claude Code",
  "is added to the built-in authorities, so the one of --ca is enough")
X(CA, "NPM_CONFIG_CAFILE", "{bundle}", "npm, pnpm",
  "a cafile that was configured before silences NODE_EXTRA_CA_CERTS")
X(CA, "YARN_HTTPS_CA_FILE_PATH", "{bundle}", "yarn 2 and later",
  "yarn has a setting of its own")
X(CA, "CARGO_HTTP_CAINFO", "{bundle}", "cargo",
  "cargo prefers it to SSL_CERT_FILE")
X(CA, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "{bundle}", "gRPC in C, Python, Ruby, PHP",
  "gRPC brings authorities of its own")
X(CA, "DENO_CERT", "{ca}", "Deno",
  "is added to the built-in authorities")
X(CA, "AWS_CA_BUNDLE", "{bundle}", "the AWS command line and SDKs",
  "they bring authorities of their own")
X(CA, "NIX_SSL_CERT_FILE", "{bundle}", "Nix and programs built by it",
  "they do not look at the system's store")
X(CA, "BUNDLE_SSL_CA_CERT", "{bundle}", "Bundler",
  "Bundler has a setting of its own")
/* clang-format on */
