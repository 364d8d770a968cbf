<%@ include file="WEB-INF/top.jspf" %>
<%
    if (request.getMethod().equals("POST") && visit.getAttribute("name") != null) {
        String entry = request.getParameter("text");
        if (request.getParameter("preview") == null) {
            ((List<String>) visit.getAttribute("entries")).add(entry);
            visit.setAttribute("message", "The entry was written.");
            response.sendRedirect(response.encodeRedirectURL("index.jsp"));
            return;
        }
        visit.setAttribute("message", "Preview: " + entry);
    }
    Object message = visit.getAttribute("message");
    visit.removeAttribute("message");
%>
<h1>Guest book</h1>
<% if (message != null) { %><p id="message"><%= text(message) %></p><% } %>
<% if (visit.getAttribute("name") == null) { %>
<p id="visitor">Nobody is logged in.</p>
<p><a id="login" href="<%= response.encodeURL("login.jsp") %>">Log in</a></p>
<% } else { %>
<p id="visitor">Hello <%= text(visit.getAttribute("name")) %></p>
<ul><% for (String entry : (List<String>) visit.getAttribute("entries")) { %><li><%= text(entry) %></li><% } %></ul>
<form method="post" action="<%= response.encodeURL("index.jsp") %>">
<input id="text" name="text"> <button id="write">Write</button> <button id="preview" name="preview">Preview</button>
</form>
<p><a id="big" href="<%= response.encodeURL("big.jsp") %>">A page of more than a megabyte</a></p>
<p><button id="more">More</button> <span id="fragment"></span></p>
<script>
document.getElementById("more").onclick = async function () {
  const response = await fetch("<%= response.encodeURL("fragment.jsp") %>");
  document.getElementById("fragment").innerHTML = await response.text();
};
</script>
<form method="post" action="<%= response.encodeURL("logout.jsp") %>"><button id="leave">Log out</button></form>
<% } %>
</body>
</html>
