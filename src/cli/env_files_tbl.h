/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env_files_tbl: the files for programs that read no variable, one row each.
 *
 * X(kind, name, purpose, text, with_ca)
 *   kind     ROUTE: always; CA: only where there is one
 *   purpose  for whom, and where it goes
 *   text     with the places of client_env_tbl.h
 *   with_ca  follows text where there is a CA
 *
 * Paths with quotes, backslashes or control characters are refused before, so text in double quotes needs no escape.
 */
/* clang-format off */
X(ROUTE, "maven-settings.xml", "Maven that ignores JAVA_TOOL_OPTIONS: ~/.m2/settings.xml, or mvn -s FILE",
  "<settings xmlns=\"http://maven.apache.org/SETTINGS/1.0.0\">\n"
  "  <proxies>\n"
  "    <proxy>\n"
  "      <id>sallyport-http</id>\n      <active>true</active>\n      <protocol>http</protocol>\n"
  "      <host>{host}</host>\n      <port>{port}</port>\n"
  "      <nonProxyHosts>localhost|127.0.0.1|[::1]</nonProxyHosts>\n"
  "    </proxy>\n"
  "    <proxy>\n"
  "      <id>sallyport-https</id>\n      <active>true</active>\n      <protocol>https</protocol>\n"
  "      <host>{host}</host>\n      <port>{port}</port>\n"
  "      <nonProxyHosts>localhost|127.0.0.1|[::1]</nonProxyHosts>\n"
  "    </proxy>\n"
  "  </proxies>\n"
  "</settings>\n", "")
X(ROUTE, "apt-proxy.conf", "apt started without the environment: /etc/apt/apt.conf.d/90sallyport, or APT_CONFIG=FILE",
  "Acquire::http::Proxy \"{url}\";\n"
  "Acquire::https::Proxy \"{url}\";\n",
  "Acquire::https::CAInfo \"{bundle}\";\n")
X(ROUTE, "gitconfig", "git, and cargo, which reads git's setting: git config --global include.path FILE",
  "[http]\n"
  "\tproxy = \"{url}\"\n",
  "\tsslCAInfo = \"{bundle}\"\n")
X(ROUTE, "yarnrc.yml", "yarn 2 and later: as .yarnrc.yml in the project or the home directory",
  "httpProxy: \"{url}\"\n"
  "httpsProxy: \"{url}\"\n",
  "httpsCaFilePath: \"{bundle}\"\n")
X(ROUTE, "docker-daemon.json", "the Docker daemon, whose pulls know nothing of a client's variables: /etc/docker/daemon.json",
  "{\n"
  "  \"proxies\": {\n"
  "    \"http-proxy\": \"{url}\",\n"
  "    \"https-proxy\": \"{url}\",\n"
  "    \"no-proxy\": \"localhost,127.0.0.1,::1\"\n"
  "  }\n"
  "}\n", "")
X(ROUTE, "chromium-switches.txt", "Chromium and what starts it, as Playwright's `args`: chromium $(cat FILE)",
  "--proxy-server={url}\n"
  "--disable-features=EncryptedClientHello\n"
  "--disable-background-networking\n"
  "--disable-component-update\n"
  "--disable-sync\n"
  "--no-first-run\n", "")
X(ROUTE, "chromium-policy.json",
  "Chromium that no longer knows the switch for Encrypted ClientHello: /etc/chromium/policies/managed/sallyport.json",
  "{\n"
  "  \"EncryptedClientHelloEnabled\": false,\n"
  "  \"ProxyMode\": \"fixed_servers\",\n"
  "  \"ProxyServer\": \"{url}\"\n"
  "}\n", "")
X(CA, "java-truststore.txt", "a JVM, which reads no PEM file: two commands",
  "", "A JVM trusts the authorities of its own store. Once, with that store copied and the authority added:\n\n"
  "  cp \"$JAVA_HOME/lib/security/cacerts\" truststore.p12\n"
  "  keytool -importcert -noprompt -alias sallyport -file \"{ca}\" -keystore truststore.p12 -storepass changeit\n\n"
  "Then in the sandbox, since a JVM that is given a store which does not exist trusts nobody:\n\n"
  "  export JAVA_TOOL_OPTIONS=\"$JAVA_TOOL_OPTIONS -Djavax.net.ssl.trustStore=$PWD/truststore.p12 "
  "-Djavax.net.ssl.trustStorePassword=changeit\"\n")
X(CA, "chromium-ca.txt", "Chromium, which reads neither a variable nor a switch for authorities: one command",
  "", "mkdir -p \"$HOME/.pki/nssdb\"\n"
  "certutil -d \"sql:$HOME/.pki/nssdb\" -A -t C,, -n sallyport -i \"{ca}\"\n")
/* clang-format on */
