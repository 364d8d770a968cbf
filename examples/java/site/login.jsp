<%@ include file="WEB-INF/top.jspf" %>
<%
    String name = request.getParameter("name");
    if (name != null && "secret".equals(request.getParameter("password"))) {
        request.changeSessionId();
        visit.setAttribute("name", name);
        response.sendRedirect(response.encodeRedirectURL("index.jsp"));
        return;
    }
%>
<h1>Log in</h1>
<% if (name != null) { %><p id="message">This password is wrong.</p><% } %>
<form method="post" action="<%= response.encodeURL("login.jsp") %>">
<p><label>Name <input id="name" name="name"></label></p>
<p><label>Password (it is "secret") <input id="password" name="password" type="password"></label></p>
<p><button id="enter">Log in</button></p>
</form>
</body>
</html>
