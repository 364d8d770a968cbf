"""A real Tomcat with three nodes in one Java machine: an engine each, with ``jvmRoute``, sessions and port of its own.

Its one page, whatever is asked for, opens a session, is never twice the same, and writes itself down in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.programs import need_program

HOME = Path("/usr/share/tomcat10")

_SERVICE = """  <Service name="{name}">
    <Connector port="{port}" address="127.0.0.1" protocol="HTTP/1.1" maxThreads="16" minSpareThreads="2"/>
    <Engine name="{name}" defaultHost="localhost" jvmRoute="{name}">
      <Host name="localhost" appBase="{folder}/none" autoDeploy="false" deployOnStartup="false">
        <Context path="" docBase="{folder}/site" reloadable="false"/>
      </Host>
    </Engine>
  </Service>
"""
_SERVER = '<Server port="-1">\n{services}</Server>\n'

# Servlet 6.0 section 4.10: `metadata-complete` spares the search of every jar for annotations.
_WEB = """<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0" metadata-complete="true">
  <servlet>
    <servlet-name>jsp</servlet-name>
    <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param><param-name>development</param-name><param-value>false</param-value></init-param>
  </servlet>
  <servlet>
    <servlet-name>page</servlet-name>
    <jsp-file>/page.jsp</jsp-file>
    <load-on-startup>1</load-on-startup>
  </servlet>
  <servlet-mapping><servlet-name>page</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
</web-app>
"""

_PAGE = """<%@ page session="false" trimDirectiveWhitespaces="true" contentType="text/html; charset=utf-8"
    import="java.nio.file.*,java.nio.charset.StandardCharsets,java.util.UUID" %><%
    if (request.getRequestURI().endsWith(".css")) {
        response.setContentType("text/css");
        out.print("body { color: #123; }");
        return;
    }
    String node = request.getSession(true).getId().replaceAll(".*[.]", "");
    response.setHeader("Cache-Control", "no-cache");
    StringBuilder text = new StringBuilder("<!DOCTYPE html><html><head><title>Tomcat</title></head>\\n");
    for (int i = 0; i < 40; i++) text.append("<p>").append(UUID.randomUUID()).append(" \\u2013 caf\\u00e9\\n");
    String id = UUID.randomUUID().toString().substring(0, 13), query = request.getQueryString();
    Path folder = Paths.get(System.getProperty("ledger"));
    response.setHeader("X-Page-Id", id);
    if (!request.getMethod().equals("HEAD")) {
        Files.write(folder.resolve(id + ".body"), text.toString().getBytes(StandardCharsets.UTF_8));
        Files.write(folder.resolve(id + ".half"), ("{\\"node\\": \\"" + node + "\\", \\"method\\": \\""
            + request.getMethod() + "\\", \\"path\\": \\"" + request.getRequestURI()
            + (query == null ? "" : "?" + query) + "\\", \\"status\\": 200}").getBytes(StandardCharsets.UTF_8));
        Files.move(folder.resolve(id + ".half"), folder.resolve(id + ".json"));
    }
    out.print(text);
%>"""


def command(folder: Path, ports: Mapping[str, int], ledger: Path) -> Sequence[str]:
    """The command that runs it in the foreground, from this folder.

    :param ports: where each node serves.
    :param ledger: the folder in which pages are written down, see :mod:`tests.support.served_pages`.
    """
    need_program("tomcat")
    for name in ("conf", "logs", "temp", "work", "none", "site/WEB-INF"):
        (folder / name).mkdir(parents=True)
    services = "".join(_SERVICE.format(name=name, port=port, folder=folder) for name, port in ports.items())
    (folder / "conf" / "server.xml").write_text(_SERVER.format(services=services))
    (folder / "site" / "WEB-INF" / "web.xml").write_text(_WEB)
    (folder / "site" / "page.jsp").write_text(_PAGE)
    return [
        *(need_program("java"), "-Xmx128m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("-cp", f"{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar", f"-Dledger={ledger}"),
        *(f"-Dcatalina.home={HOME}", f"-Dcatalina.base={folder}", f"-Djava.io.tmpdir={folder}/temp"),
        *("-Djava.awt.headless=true", "org.apache.catalina.startup.Bootstrap", "start"),
    ]
